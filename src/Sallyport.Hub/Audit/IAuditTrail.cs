namespace Sallyport.Hub.Audit;

/// <summary>One line of the audit trail. Never holds a secret.</summary>
/// <param name="Principal">Who: <c>policy:iothubowner</c>, <c>device:d1</c>, <c>local:root</c>, or <c>anonymous</c>.</param>
/// <param name="Action">What, as noun and verb: <c>device create</c>, <c>authentication</c>.</param>
/// <param name="Target">On what: <c>d1</c>, <c>policy service</c>.</param>
/// <param name="Result"><c>done</c> or <c>refused</c>.</param>
/// <param name="Reason">Why, in words; empty for what was done.</param>
public sealed record AuditEntry(
    string Principal, string CredentialFingerprint, string Action, string Target, string Result, string Reason, string CorrelationId, string Peer);

/// <summary>The append-only audit file. Thread-safe.</summary>
public interface IAuditTrail
{
    /// <summary>Completes when the entry is on disk. A management act whose entry is not durable must be refused: call it before the act takes effect.</summary>
    /// <exception cref="IOException">The entry could not be made durable.</exception>
    ValueTask RecordAsync(AuditEntry entry, CancellationToken cancel);

    /// <summary>Notes an entry without waiting (refusals under load); bounded, and what is dropped is counted in the trail.</summary>
    void Note(AuditEntry entry);
}
