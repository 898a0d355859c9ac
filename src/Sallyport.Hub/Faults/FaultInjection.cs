using Microsoft.Extensions.Logging;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Messages;

namespace Sallyport.Hub.Faults;

/// <summary>The session of one identity on a connection, as faults see it: a head's.</summary>
public interface IFaultyLink
{
    /// <summary>
    /// Does to its own connection, session or links what the fault says; nothing when it is gone, or the fault is of another protocol. On a thread of the
    /// pool; returns at once.
    /// </summary>
    void Inject(InjectedFault fault);
}

/// <summary>
/// Faults on request, so that clients test how they come back. There is one only where the hub was started with
/// <c>--enable-insecure-fault-injection</c>; else messages that ask for faults are telemetry like any other. Thread-safe.
/// </summary>
public sealed class FaultInjection(TimeProvider time, ILogger<FaultInjection> log)
{
    internal SessionFaults Of(Identity identity, IFaultyLink link) => new(identity, link, time, log);
}

/// <summary>What telemetry is refused with for a while.</summary>
/// <param name="AmqpCondition">What a delivery is rejected with.</param>
/// <param name="Text">Goes onto the wire.</param>
public sealed record InjectedRefusal(HubError Error, string AmqpCondition, string Text);

/// <summary>
/// The faults of one session: at most one is ahead, and a newer one takes its place. It acts on the link that it was made for, whichever the identity has by
/// then. <see cref="Take"/> is the connection's loop's; the clock comes from a thread of the pool.
/// </summary>
internal sealed class SessionFaults(Identity identity, IFaultyLink link, TimeProvider time, ILogger log)
{
    private ITimer? _ahead;
    private volatile Refusing? _refusing;

    /// <summary>Null: telemetry is taken.</summary>
    public InjectedRefusal? Refusal => _refusing is { } refusing && time.GetTimestamp() < refusing.Until ? refusing.With : null;

    /// <summary>Takes note of what an accepted message asks for.</summary>
    public void Take(MessageProperties message)
    {
        if (InjectedFault.Read(message) is not { } fault)
            return;

        _ahead?.Dispose();
        _ahead = time.CreateTimer(_ => Act(fault), null, fault.Delay, Timeout.InfiniteTimeSpan);
    }

    private void Act(InjectedFault fault)
    {
        log.FaultInjected(identity.ToString(), fault.Text);
        var refusal = fault.Kind switch
        {
            FaultKind.InvokeThrottling => new InjectedRefusal(HubErrors.Throttled, HubErrors.Throttled.AmqpCondition, fault.Text),
            FaultKind.InvokeMaxMessageQuota => new InjectedRefusal(HubErrors.QuotaExceeded, "amqp:resource-limit-exceeded", fault.Text),
            FaultKind.InvokeAuthError => new InjectedRefusal(HubErrors.Unauthorized, HubErrors.Unauthorized.AmqpCondition, fault.Text),
            _ => null,
        };
        if (refusal is null)
            link.Inject(fault);
        else
            _refusing = new Refusing(refusal, time.GetTimestamp() + (long)(fault.Duration.TotalSeconds * time.TimestampFrequency));
    }

    private sealed record Refusing(InjectedRefusal With, long Until);
}

/// <summary>The log of faults. Event ids are stable.</summary>
internal static partial class FaultEvents
{
    [LoggerMessage(2901, LogLevel.Warning, "{Identity} asked for it: {Fault}")]
    public static partial void FaultInjected(this ILogger logger, string identity, string fault);
}
