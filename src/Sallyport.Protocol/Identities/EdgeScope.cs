using System.Diagnostics.CodeAnalysis;

namespace Sallyport.Protocol.Identities;

/// <summary>
/// The scope of an edge device, by which its children name it: <c>ms-azure-iot-edge://{device}-{generation}</c> (Azure IoT Hub, "deviceScope").
/// </summary>
public static class EdgeScope
{
    public const string Prefix = "ms-azure-iot-edge://";

    /// <summary>The module as which the hub of an edge device speaks, for itself and for what is in its scope.</summary>
    public const string HubModule = "$edgeHub";

    /// <param name="generationId">Of the edge device: a namesake made later has another scope.</param>
    public static string Of(string deviceId, string generationId) => $"{Prefix}{deviceId}-{generationId}";

    /// <summary>Reads whose scope it is; false for a scope of somebody's own wording.</summary>
    public static bool TryReadDevice(string? scope, [NotNullWhen(true)] out string? deviceId)
    {
        deviceId = null;
        if (scope?.StartsWith(Prefix, StringComparison.Ordinal) is not true)
            return false;

        var end = scope.LastIndexOf('-');
        if (end <= Prefix.Length || !Identity.IsValidId(scope.AsSpan()[Prefix.Length..end]))
            return false;

        deviceId = scope[Prefix.Length..end];
        return true;
    }
}
