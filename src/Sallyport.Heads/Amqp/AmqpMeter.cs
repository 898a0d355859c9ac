using System.Diagnostics.Metrics;

namespace Sallyport.Heads.Amqp;

/// <summary>The meter <c>Sallyport.Amqp</c>. Messages are counted per batch by <c>Sallyport.Telemetry</c>. Thread-safe.</summary>
internal static class AmqpMeter
{
    public const string Name = "Sallyport.Amqp";

    private static readonly Meter Meter = new(Name);

    private static readonly UpDownCounter<long> Open = Meter.CreateUpDownCounter<long>(
        "sallyport.amqp.connections", "{connection}", "Connections that are open, before and after authentication.");

    private static readonly Counter<long> Attaches = Meter.CreateCounter<long>(
        "sallyport.amqp.attaches", "{link}", "Links that peers wanted to attach, by outcome: the error code, or 0.");

    private static readonly Counter<long> Closes = Meter.CreateCounter<long>(
        "sallyport.amqp.closes", "{connection}", "Connections that the hub closed, by condition.");

    private static readonly UpDownCounter<long> OpenReaders = Meter.CreateUpDownCounter<long>(
        "sallyport.amqp.readers", "{link}", "Links that read a partition of the built-in endpoint.");

    public static void Opened() => Open.Add(1);

    public static void Ended() => Open.Add(-1);

    public static void Attached(int errorCode) => Attaches.Add(1, KeyValuePair.Create<string, object?>("error", errorCode));

    public static void Closed(string condition) => Closes.Add(1, KeyValuePair.Create<string, object?>("condition", condition));

    public static void Reading(int change) => OpenReaders.Add(change);
}
