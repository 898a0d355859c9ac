using Sallyport.Protocol.Identities;

namespace Sallyport.Hub.Methods;

/// <summary>A direct method to be called. Immutable.</summary>
/// <param name="Name">See <see cref="MethodRules"/>.</param>
/// <param name="Payload">JSON, byte for byte as the device gets it; at most <see cref="MethodRules.MaxPayloadBytes"/>.</param>
public sealed record MethodCall(Identity Identity, string Name, ReadOnlyMemory<byte> Payload)
{
    /// <summary>How long a device that does not take methods now is waited for: 0 to 300 s. Default 0: not at all.</summary>
    public TimeSpan ConnectTimeout { get; init; }

    /// <summary>How long the device may take to answer: 5 to 300 s. Default 30 s.</summary>
    public TimeSpan ResponseTimeout { get; init; } = TimeSpan.FromSeconds(30);
}

/// <summary>A call as it goes to the device.</summary>
/// <param name="Id">Random; nobody but the device can know it.</param>
public sealed record MethodRequest(Guid Id, string Name, ReadOnlyMemory<byte> Payload);

/// <summary>What the device answered.</summary>
/// <param name="Status">Of the device's own choice.</param>
/// <param name="Payload">JSON, byte for byte as it came; <c>null</c> when nothing came.</param>
public sealed record MethodResult(int Status, ReadOnlyMemory<byte> Payload);
