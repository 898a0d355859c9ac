using Sallyport.Hub.Access;
using Sallyport.Hub.Access.Certificates;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;

namespace Sallyport.Tests.Heads.Http;

/// <summary>Lets in by the word in the Authorization header, so that tests of the middleware do not depend on tokens.</summary>
internal sealed class StubAuthentication(Rights held) : IServiceAuthentication, IDeviceAuthentication
{
    public List<string> Asked { get; } = [];

    public CancellationToken Withdrawn { get; init; }

    public ValueTask<Admission> AuthenticateAsync(string? authorization, string hostName, string resource, Rights needed, Peer peer, CancellationToken cancel)
    {
        Asked.Add($"{hostName} {resource} {needed}");
        return ValueTask.FromResult(authorization switch
        {
            "good" when held.HasFlag(needed) => new Admission(
                new Principal(PrincipalKind.Policy, "tester", held, DateTimeOffset.MaxValue, "{}", "0123456789abcdef") { Withdrawn = Withdrawn }, null, ""),
            "hour" => new Admission(
                new Principal(PrincipalKind.Policy, "tester", held, new DateTimeOffset(2026, 1, 2, 4, 4, 5, TimeSpan.Zero), "{}", "0123456789abcdef"), null, ""),
            "good" => Admission.Refuse(HubErrors.UnauthorizedAccess, "the secret reason of missing rights"),
            _ => Admission.Refuse(HubErrors.Unauthorized, "the secret reason of a bad token"),
        });
    }

    public ValueTask<Admission> AuthenticateAsync(PresentedCertificate certificate, string hostName, Rights needed, Peer peer, CancellationToken cancel) =>
        ValueTask.FromResult(Admission.Refuse(HubErrors.Unauthorized, "the secret reason of a bad certificate"));

    public ValueTask<Admission> AuthenticateAsync(Identity identity, string hostName, DeviceCredential credential, Peer peer, CancellationToken cancel)
    {
        Asked.Add($"{hostName} {identity}");
        return ValueTask.FromResult(credential.Token == "good"
            ? new Admission(new Principal(PrincipalKind.Device, identity.ToString(), Rights.DeviceConnect, DateTimeOffset.MaxValue, "{}", ""), null, "")
            : Admission.Refuse(HubErrors.Unauthorized, "the secret reason of a bad device"));
    }
}
