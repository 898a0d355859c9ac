using System.Diagnostics.Metrics;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Commands;

/// <summary>The meter <c>Sallyport.Commands</c>. Names are Azure Monitor's where it has one. Thread-safe.</summary>
public static class CommandMeter
{
    public const string Name = "Sallyport.Commands";

    private static readonly Meter Meter = new(Name);
    private static readonly Counter<long> AcceptedCommands = Meter.CreateCounter<long>("c2d.commands.ingress.success", "{message}", "Cloud-to-device messages taken into a queue.");
    private static readonly Counter<long> RefusedCommands = Meter.CreateCounter<long>("c2d.commands.ingress.refused", "{message}", "Cloud-to-device messages refused, by error code.");
    private static readonly Counter<long> Completed = Meter.CreateCounter<long>("c2d.commands.egress.complete.success", "{message}", "Cloud-to-device messages that devices completed.");
    private static readonly Counter<long> Abandoned = Meter.CreateCounter<long>("c2d.commands.egress.abandon.success", "{message}", "Cloud-to-device messages that devices abandoned.");
    private static readonly Counter<long> Rejected = Meter.CreateCounter<long>("c2d.commands.egress.reject.success", "{message}", "Cloud-to-device messages that devices rejected.");
    private static readonly Counter<long> Expired = Meter.CreateCounter<long>("C2DMessagesExpired", "{message}", "Cloud-to-device messages that expired before they were delivered.");
    private static readonly Counter<long> DroppedFeedback = Meter.CreateCounter<long>("sallyport.feedback.dropped", "{record}", "Feedback that nobody took in time, or that made room at its bound.");

    internal static void Accepted(int commands) => AcceptedCommands.Add(commands);

    internal static void Refused(int code) => RefusedCommands.Add(1, KeyValuePair.Create<string, object?>("code", code));

    internal static void OnCompleted() => Completed.Add(1);

    internal static void OnAbandoned() => Abandoned.Add(1);

    internal static void OnDead(DeadReason reason)
    {
        if (reason == DeadReason.Rejected)
            Rejected.Add(1);
        else if (reason == DeadReason.Expired)
            Expired.Add(1);
    }

    internal static void FeedbackDropped(int records)
    {
        if (records > 0)
            DroppedFeedback.Add(records);
    }
}
