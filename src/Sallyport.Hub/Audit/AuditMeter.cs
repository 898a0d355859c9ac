using System.Diagnostics.Metrics;
using Microsoft.Extensions.Logging;

namespace Sallyport.Hub.Audit;

/// <summary>What the audit trail tells about itself (meter <c>Sallyport.Audit</c>).</summary>
internal static class AuditMeter
{
    private static readonly Meter Meter = new("Sallyport.Audit");
    private static readonly Counter<long> Lines = Meter.CreateCounter<long>("sallyport.audit.lines", "{line}", "Lines that are on disk.");
    private static readonly Counter<long> Failures = Meter.CreateCounter<long>("sallyport.audit.failures", "{write}", "Writes or syncs that failed.");

    private static readonly Counter<long> AnchorsSent = Meter.CreateCounter<long>("sallyport.audit.anchors", "{anchor}", "Anchors that a target has taken.");
    private static readonly Counter<long> AnchorFailures = Meter.CreateCounter<long>("sallyport.audit.anchor_failures", "{attempt}", "Attempts to send an anchor that failed.");

    public static void AnchorSent(string target) => AnchorsSent.Add(1, new KeyValuePair<string, object?>("target", target));

    public static void AnchorFailed(string target) => AnchorFailures.Add(1, new KeyValuePair<string, object?>("target", target));

    public static void Written(int lines) => Lines.Add(lines);

    public static void Failed() => Failures.Add(1);
}

/// <summary>Stable ids of log events: 2300 to 2399.</summary>
internal static class AuditEvents
{
    public static readonly EventId TornEnd = new(2300, "AuditTornEnd");
    public static readonly EventId WriteFailed = new(2301, "AuditWriteFailed");
    public static readonly EventId AnchorNotSent = new(2302, "AuditAnchorNotSent");
    public static readonly EventId AnchorSentAgain = new(2303, "AuditAnchorSentAgain");
}
