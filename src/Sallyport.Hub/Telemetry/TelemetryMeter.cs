using System.Diagnostics.Metrics;
using Sallyport.Storage.EventLog;

namespace Sallyport.Hub.Telemetry;

/// <summary>
/// The meter <c>Sallyport.Telemetry</c>. Names are Azure Monitor's where it has one, so that dashboards carry over.
/// Counted per batch, not per message. Thread-safe.
/// </summary>
public static class TelemetryMeter
{
    public const string Name = "Sallyport.Telemetry";

    private static readonly Meter Meter = new(Name);

    private static readonly Counter<long> Attempted = Meter.CreateCounter<long>(
        "d2c.telemetry.ingress.allProtocol", "{message}", "Device-to-cloud messages that devices tried to send.");

    private static readonly Counter<long> Succeeded = Meter.CreateCounter<long>(
        "d2c.telemetry.ingress.success", "{message}", "Device-to-cloud messages taken into the log.");

    private static readonly Counter<long> RefusedMessages = Meter.CreateCounter<long>(
        "d2c.telemetry.ingress.refused", "{message}", "Device-to-cloud messages refused, by reason.");

    private static readonly Counter<long> Delivered = Meter.CreateCounter<long>(
        "d2c.endpoints.egress.builtIn.events", "{message}", "Messages given to readers of the built-in endpoint.");

    internal static void Refused(TelemetryOutcome outcome)
    {
        Attempted.Add(1);
        RefusedMessages.Add(1, KeyValuePair.Create<string, object?>("reason", outcome.ToString()));
    }

    internal static void Appended(int messages, AppendOutcome outcome)
    {
        Attempted.Add(messages);
        if (outcome == AppendOutcome.Accepted)
            Succeeded.Add(messages);
        else
            RefusedMessages.Add(messages, KeyValuePair.Create<string, object?>("reason", outcome.ToString()));
    }

    internal static void Read(int messages) => Delivered.Add(messages);
}
