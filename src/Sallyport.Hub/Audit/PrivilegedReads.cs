using Sallyport.Protocol.Errors;

namespace Sallyport.Hub.Audit;

/// <summary>
/// Puts reads of what is secret or confidential into the trail: durable before the answer the first time in a minute; the same read by
/// the same caller is then counted, so that a dashboard is three lines a minute. Thread-safe.
/// </summary>
public sealed class PrivilegedReads(IAuditTrail audit, TimeProvider time)
{
    /// <summary>Kinds of reads remembered for a minute; beyond them each is recorded by itself.</summary>
    internal const int MaxKinds = 4096;

    private readonly Lock _gate = new();
    private readonly HashSet<(string Principal, string Credential, string Action, string Target)> _recorded = [];
    private long _since = time.GetTimestamp();

    /// <summary>Call it before anything is read.</summary>
    /// <exception cref="HubException">503: the trail cannot be written, so nothing may be read.</exception>
    public async ValueTask RecordAsync(Actor actor, string action, string target, CancellationToken cancel)
    {
        var kind = KindOf(actor, action, target);
        if (WasRecorded(kind))
        {
            audit.Note(Repeated(actor, action, target));
            return;
        }

        await audit.RequireAsync(actor.Done(action, target), cancel);
        Remember(kind);
    }

    /// <summary>Reads, records, and only then hands out what was read; a read that is refused is noted with its reason.</summary>
    /// <exception cref="HubException">What <paramref name="read"/> refuses with; 503: the trail cannot be written, so nothing may be read.</exception>
    public async ValueTask<T> ReadAsync<T>(Actor actor, string action, string target, Func<T> read, CancellationToken cancel)
    {
        T found;
        try
        {
            found = read();
        }
        catch (HubException refusal)
        {
            // Without correlation id: whoever tries one name after the other is counted.
            audit.Note(actor.Refused(action, target, refusal.Message) with { CorrelationId = "" });
            throw;
        }

        await RecordAsync(actor, action, target, cancel);
        return found;
    }

    /// <summary>For what is confidential and no secret, such as events: noted, not waited for, so that it can be read also when the disk is full.</summary>
    public void Note(Actor actor, string action, string target)
    {
        var kind = KindOf(actor, action, target);
        audit.Note(WasRecorded(kind) ? Repeated(actor, action, target) : actor.Done(action, target));
        Remember(kind);
    }

    private static (string, string, string, string) KindOf(Actor actor, string action, string target) => (actor.Principal, actor.CredentialFingerprint, action, target);

    // Without correlation id the trail counts it together with its like.
    private static AuditEntry Repeated(Actor actor, string action, string target) => actor.Done(action, target) with { CorrelationId = "" };

    private void Remember((string, string, string, string) kind)
    {
        lock (_gate)
        {
            if (_recorded.Count < MaxKinds)
                _recorded.Add(kind);
        }
    }

    private bool WasRecorded((string, string, string, string) kind)
    {
        lock (_gate)
        {
            if (time.GetElapsedTime(_since) >= TimeSpan.FromMinutes(1))
            {
                _recorded.Clear();
                _since = time.GetTimestamp();
            }

            return _recorded.Contains(kind);
        }
    }
}
