using System.Buffers.Text;
using System.Text;
using Sallyport.Protocol.Identities;

namespace Sallyport.Protocol.Topics;

/// <summary>What a topic that a device publishes to is for.</summary>
public enum PublishTarget
{
    /// <summary>Not a topic of this identity.</summary>
    Foreign,

    /// <summary><c>devices/{d}[/modules/{m}]/messages/events/{bag}</c>.</summary>
    Telemetry,

    /// <summary><c>$iothub/twin/GET/?$rid=…</c>.</summary>
    TwinGet,

    /// <summary><c>$iothub/twin/PATCH/properties/reported/?$rid=…</c>.</summary>
    TwinPatch,

    /// <summary><c>$iothub/methods/res/{status}/?$rid=…</c>.</summary>
    MethodResponse,
}

/// <summary>
/// The topics and filters of one identity on IoT Hub's MQTT surface, compared as bytes. Immutable; thread-safe.
/// </summary>
public sealed class DeviceTopics
{
    /// <summary>IoT Hub's bound on subscriptions of one client.</summary>
    public const int MaxSubscriptions = 5;

    public const string TwinResponses = "$iothub/twin/res/#";
    public const string DesiredProperties = "$iothub/twin/PATCH/properties/desired/#";
    public const string MethodRequests = "$iothub/methods/POST/#";

    private readonly byte[] _telemetry;
    private readonly string _root;
    private readonly bool _isModule;

    public DeviceTopics(Identity identity)
    {
        _isModule = identity.IsModule;
        _root = identity.ModuleId is { } module ? $"devices/{identity.DeviceId}/modules/{module}/" : $"devices/{identity.DeviceId}/";
        _telemetry = Encoding.UTF8.GetBytes(_root + "messages/events/");
    }

    /// <summary><c>devices/{d}[/modules/{m}]/messages/events/</c> in UTF-8; the bag follows.</summary>
    public ReadOnlySpan<byte> Telemetry => _telemetry;

    /// <summary>Says what a topic is for.</summary>
    /// <param name="tail">The property bag of telemetry without its terminating <c>/</c>, or what follows <c>?</c> of a request.</param>
    public PublishTarget Classify(ReadOnlySpan<byte> topic, out ReadOnlySpan<byte> tail)
    {
        if (topic.StartsWith(_telemetry))
        {
            tail = topic[_telemetry.Length..];
            if (tail is [.., (byte)'/'])
                tail = tail[..^1];
            return PublishTarget.Telemetry;
        }

        tail = default;
        if (topic.SequenceEqual(_telemetry.AsSpan(0, _telemetry.Length - 1)))
            return PublishTarget.Telemetry;

        if (!topic.StartsWith("$iothub/"u8))
            return PublishTarget.Foreign;

        var query = topic.IndexOf((byte)'?');
        tail = query < 0 ? default : topic[(query + 1)..];
        if (topic.StartsWith("$iothub/twin/GET/"u8))
            return PublishTarget.TwinGet;
        if (topic.StartsWith("$iothub/twin/PATCH/properties/reported/"u8))
            return PublishTarget.TwinPatch;
        return topic.StartsWith("$iothub/methods/res/"u8) ? PublishTarget.MethodResponse : PublishTarget.Foreign;
    }

    /// <summary>The value of <c>$rid</c> in a request's query, as sent; empty when there is none.</summary>
    public static ReadOnlySpan<byte> RequestId(ReadOnlySpan<byte> query) => ValueOf(query, "$rid="u8);

    private static ReadOnlySpan<byte> ValueOf(ReadOnlySpan<byte> query, ReadOnlySpan<byte> key)
    {
        while (!query.IsEmpty)
        {
            var end = query.IndexOf((byte)'&');
            var pair = end < 0 ? query : query[..end];
            query = end < 0 ? default : query[(end + 1)..];
            if (pair.StartsWith(key))
                return pair[key.Length..];
        }

        return default;
    }

    /// <summary>The value of <c>$version</c> in the query of a report (Java: only at that version).</summary>
    /// <param name="version">Null when there is none.</param>
    /// <returns>False when it is no number.</returns>
    public static bool TryReadVersion(ReadOnlySpan<byte> query, out long? version)
    {
        version = null;
        var text = ValueOf(query, "$version="u8);
        if (text.IsEmpty)
            return true;
        if (!Utf8Parser.TryParse(text, out long number, out var length) || length != text.Length)
            return false;

        version = number;
        return true;
    }

    /// <summary>The <c>{status}</c> of <c>$iothub/methods/res/{status}/?$rid=…</c>, as sent; empty for other topics.</summary>
    public static ReadOnlySpan<byte> MethodStatus(ReadOnlySpan<byte> topic)
    {
        var prefix = "$iothub/methods/res/"u8;
        if (!topic.StartsWith(prefix))
            return default;

        var rest = topic[prefix.Length..];
        var end = rest.IndexOfAny((byte)'/', (byte)'?');
        return end < 0 ? rest : rest[..end];
    }

    /// <summary>Whether a filter that <see cref="MaySubscribe"/> takes covers the identity's commands: <c>…/messages/devicebound/#</c>, or all of a module's.</summary>
    public static bool CoversCommands(string filter) =>
        filter.EndsWith("/messages/devicebound/#", StringComparison.Ordinal)
        || (filter.Split('/') is ["devices", _, "modules", _, "#"]);

    /// <summary>Whether the identity may subscribe to the filter. The list is closed: what the SDKs use and Azure documents.</summary>
    public bool MaySubscribe(string filter)
    {
        if (filter is TwinResponses or DesiredProperties or MethodRequests)
            return true;
        if (!filter.StartsWith(_root, StringComparison.Ordinal))
            return false;

        var rest = filter.AsSpan(_root.Length);
        return rest is "messages/devicebound/#" || (_isModule && rest is "inputs/#" or "#");
    }
}
