using Sallyport.Hub.Audit;

namespace Sallyport.Hub.Access;

/// <summary>How a refused credential stands in the audit trail.</summary>
internal static class Refusals
{
    /// <summary>The claim is not proved: the principal is anonymous, and what it claimed to be is the target.</summary>
    public static AuditEntry Entry(string claimed, string fingerprint, Admission admission, Peer peer) =>
        new("anonymous", fingerprint, "authentication", claimed, "refused", $"{admission.Error!.Code} {admission.Reason}", "",
            peer.Address is null ? "local" : $"{peer.Protocol} {peer.Address}");
}
