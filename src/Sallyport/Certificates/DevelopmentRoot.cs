using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sallyport.Heads;
using Sallyport.Heads.Http;
using Sallyport.Hub.Access;
using Sallyport.Hub.Access.Certificates;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Registry;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;

namespace Sallyport.Certificates;

/// <summary>
/// The device root that a hub in development makes for itself: registered as a trusted authority, so that <c>cert issue</c> is all that a device
/// needs. Its key lies in the data directory, so a hub in production neither trusts it nor issues from it.
/// </summary>
/// <param name="directory"><c>DIR/tls</c>.</param>
internal sealed class DevelopmentRoot(string directory, bool isProduction, CertificateAuthorities authorities, IAuditTrail audit, TimeProvider time)
{
    /// <summary>Under which it is registered.</summary>
    public const string Name = "device-root";

    public const int MaxDays = 3650;

    private const int DefaultDays = 365;
    private const int MaxRequestBytes = 16 * 1024;

    /// <summary>Registers it in development, and takes it out in production, also under another name.</summary>
    public async Task RegisterAsync(CancellationToken cancel)
    {
        using var root = TlsDirectory.DeviceRoot(directory);
        if (root is null)
            return;

        var start = new Actor("local:start", "", AzureRights.All, "", "local");
        var registered = authorities.List().Where(known => known.Certificate.RawDataMemory.Span.SequenceEqual(root.RawDataMemory.Span)).ToList();
        if (isProduction)
        {
            foreach (var known in registered)
                await authorities.DeleteAsync(start, known.Record.Name, EntityTagCondition.Any, cancel).ConfigureAwait(false);
        }
        else if (registered.Count == 0 && authorities.List().All(known => known.Record.Name != Name) && authorities.List().Count < CertificateAuthorities.MaxAuthorities)
        {
            await authorities.PutAsync(start, Name, root.RawData, isVerified: true, idPrefix: null, deviceTags: null, condition: null, cancel).ConfigureAwait(false);
        }
    }

    public void Map(IEndpointRouteBuilder routes) =>
        routes.MapPost("/manage/v1/development-root/issue", IssueAsync).Requires(Rights.AccessManage)
            .Describe("Issues a device's certificate from the development device root; the key stays with who asks.", DevelopmentRootWire.Json.IssueRequestJson, DevelopmentRootWire.Json.IssuedJson);

    private async Task IssueAsync(HttpContext context)
    {
        var request = await context.ReadJsonAsync(DevelopmentRootWire.Json.IssueRequestJson).ConfigureAwait(false);
        var actor = context.Actor();
        var identity = Identity.TryCreate(request.DeviceId, request.ModuleId, out var named)
            ? named
            : throw new HubException(HubErrors.ArgumentInvalid, "deviceId and moduleId: not a valid id");
        var days = request.Days ?? DefaultDays;
        if (days is < 1 or > MaxDays)
            throw new HubException(HubErrors.ArgumentInvalid, $"days: 1 to {MaxDays}");
        if (!actor.Rights.HasFlag(Rights.DeviceConnect))
            throw new HubException(HubErrors.UnauthorizedAccess, "a certificate lets a device connect, and you do not hold that right");

        var key = KeyOf(request.CertificateRequest);
        using var root = isProduction ? null : TlsDirectory.DeviceRoot(directory);
        if (root is null)
            throw new HubException(HubErrors.NotFound, "a hub in production issues no certificates: use your own authority, and register it with `certificate create`");

        try
        {
            await audit.RequireAsync(actor.Done("cert issue", identity.ToString()), context.RequestAborted).ConfigureAwait(false);
        }
        catch (IOException)
        {
            throw new HubException(HubErrors.ServiceUnavailable, "the audit trail cannot be written, so nothing may be issued");
        }

        using var leaf = Issue.Device(root, identity.ToString(), key, TimeSpan.FromDays(days), time.GetUtcNow());
        await context.WriteJsonAsync(
            new IssuedJson(
                identity.ToString(), leaf.ExportCertificatePem(), leaf.Thumbprint, leaf.GetCertHashString(HashAlgorithmName.SHA256), leaf.NotAfter.ToUniversalTime()),
            DevelopmentRootWire.Json.IssuedJson).ConfigureAwait(false);
    }

    /// <summary>The key that a PKCS #10 request is signed with; its subject and extensions are not taken.</summary>
    private static PublicKey KeyOf(string? pem)
    {
        try
        {
            if (pem is { Length: > 0 and <= MaxRequestBytes })
                return CertificateRequest.LoadSigningRequestPem(pem, HashAlgorithmName.SHA256).PublicKey;
        }
        catch (Exception malformed) when (malformed is CryptographicException or ArgumentException)
        {
            throw new HubException(HubErrors.ArgumentInvalid, "certificateRequest: not a PKCS #10 request in PEM, or not signed by its key");
        }

        throw new HubException(HubErrors.ArgumentInvalid, "certificateRequest: a PKCS #10 request in PEM is needed");
    }
}
