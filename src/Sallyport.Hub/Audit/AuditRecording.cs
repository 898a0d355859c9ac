using Sallyport.Protocol.Errors;

namespace Sallyport.Hub.Audit;

public static class AuditRecording
{
    /// <summary>Records what is about to be done; completes when the entry is on disk.</summary>
    /// <exception cref="HubException">503: it could not be made durable, so nothing may be done.</exception>
    public static async ValueTask RequireAsync(this IAuditTrail audit, AuditEntry entry, CancellationToken cancel)
    {
        try
        {
            await audit.RecordAsync(entry, cancel);
        }
        catch (IOException)
        {
            throw new HubException(HubErrors.ServiceUnavailable, "the audit trail cannot be written, so nothing may be changed and nothing secret be read");
        }
    }
}
