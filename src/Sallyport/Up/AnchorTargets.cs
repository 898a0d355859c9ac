using Sallyport.Hub.Audit;
using Sallyport.Services.Outgoing;
using Sallyport.Settings;

namespace Sallyport.Up;

/// <summary>Where the process configuration says that anchors of the audit trail go.</summary>
internal static class AnchorTargets
{
    private const string MessageId = "audit-anchor";

    public static IReadOnlyList<AnchorTarget> Of(AuditSettings settings, OutgoingOptions outgoing, OutgoingHttps https, TimeProvider time)
    {
        var targets = new List<AnchorTarget>();
        if (settings.AnchorSyslog is { } collector)
        {
            var syslog = new OutgoingSyslog(outgoing, time);
            var (host, port) = AuditSettings.HostAndPort(collector)!.Value;
            targets.Add(new AnchorTarget($"syslog {collector}", (anchor, cancel) => syslog.SendAsync(host, port, MessageId, anchor.ToJson(), cancel)));
        }

        if (settings.AnchorWebhook is { } webhook)
            targets.Add(new AnchorTarget($"webhook {webhook.Host}", (anchor, cancel) => https.PostJsonAsync(webhook, anchor.ToJson(), cancel)));
        return targets;
    }
}
