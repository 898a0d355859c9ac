using System.Diagnostics.Metrics;

namespace Sallyport.Hub.Limits;

/// <summary>The meter <c>Sallyport.Limits</c>. Thread-safe.</summary>
internal static class LimitsMeter
{
    private static readonly Meter Meter = new("Sallyport.Limits");

    private static readonly Counter<long> Refusals = Meter.CreateCounter<long>(
        "sallyport.limits.refused", "{connection}", "Connections refused before authentication, by the limit they met.");

    private static readonly Counter<long> Throttles = Meter.CreateCounter<long>(
        "sallyport.limits.throttled", "{time}", "Times that somebody was held back or answered 429, by the limit met.");

    private static readonly UpDownCounter<long> Waiting = Meter.CreateUpDownCounter<long>(
        "sallyport.limits.handshakes.waiting", "{connection}", "Connections that wait for their TLS handshake to begin.");

    public static void Refused(string limit) => Refusals.Add(1, new KeyValuePair<string, object?>("limit", limit));

    public static void Throttled(string limit) => Throttles.Add(1, new KeyValuePair<string, object?>("limit", limit));

    public static void HandshakeWaits(int change) => Waiting.Add(change);
}
