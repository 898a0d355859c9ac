using System.Collections.Concurrent;
using System.Security.Cryptography.X509Certificates;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Sallyport.Hub.Access;
using Sallyport.Hub.Access.Certificates;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Devices;
using Sallyport.Hub.Diagnosis;
using Sallyport.Hub.Twins;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Sas;
using Sallyport.Storage.Metadata;
using Sallyport.Tests.Hub.Access.Certificates;
using Sallyport.Tests.Storage.Metadata;

namespace Sallyport.Tests.Hub.Access;

/// <summary>A hub's access on a real store: device d1 with modules m1 and m2, device d2, and the default policies.</summary>
public sealed class AccessFixture : IAsyncLifetime
{
    public const string Host = "hub.test";

    private readonly SqliteFixture _store = new();

    /// <summary>A root of the hub's own, for servers.</summary>
    public static X509Certificate2 Never { get; } = TestAuthority.Root("server root", new DateTimeOffset(2026, 7, 1, 0, 0, 0, TimeSpan.Zero)).Certificate;

    public FakeTimeProvider Time { get; init; } = new(new DateTimeOffset(2026, 8, 1, 12, 0, 0, TimeSpan.Zero));

    public IMetadata Metadata { get; private set; } = null!;

    internal RecordingAudit Audit { get; } = new();

    public IdentityCache Identities { get; private set; } = null!;

    public KnownTags Tags { get; private set; } = null!;

    public Policies Policies { get; private set; } = null!;

    public Attempts Attempts { get; private set; } = null!;

    public CertificateAuthorities Authorities { get; private set; } = null!;

    /// <summary>What a URL answers; by default nothing is there.</summary>
    public FetchRevocationList Fetch { get; set; } = (_, _) => throw new IOException("nothing is there");

    public RevokedTokens Revoked { get; private set; } = null!;

    public TokenCheck Tokens { get; private set; } = null!;

    public TokenRevocation Revocation { get; private set; } = null!;

    public ConnectedDevices Connected { get; private set; } = null!;

    internal DeviceAuthenticator Devices { get; private set; } = null!;

    internal ServiceAuthenticator Services { get; private set; } = null!;

    public async ValueTask InitializeAsync()
    {
        Metadata = await _store.OpenAsync();
        Identities = new IdentityCache(Metadata);
        Tags = new KnownTags(Metadata);
        Policies = await Policies.OpenAsync(Metadata, Tags, Audit, Time, CancellationToken.None);
        Attempts = new Attempts(new KnownSubjects(Identities, Policies).Exists, Time);
        Authorities = NewAuthorities();
        Revoked = new RevokedTokens(Metadata, Audit, Time);
        Restrict(new TokenOptions());
        foreach (var identity in new[] { Identity.Of("d1"), Identity.Of("d1", "m1"), Identity.Of("d1", "m2"), Identity.Of("d2") })
            await PutAsync(Record(identity));
    }

    /// <summary>Authenticates by other rules from now on.</summary>
    public void Restrict(TokenOptions options)
    {
        Tokens = new TokenCheck(new HubNames([Host, "alias.test"]), Revoked, options, Time);
        Devices = new DeviceAuthenticator(Tokens, Identities, Policies, Authorities, Audit, Attempts, Time);
        Services = new ServiceAuthenticator(Tokens, Policies, Authorities, Audit, Attempts, Time);
        Revocation = new TokenRevocation(Revoked, Identities, Attempts, Connected, options, Time);
    }

    public async ValueTask DisposeAsync()
    {
        Authorities.Dispose();
        Revoked.Dispose();
        Policies.Dispose();
        await Metadata.DisposeAsync();
        _store.Dispose();
    }

    public static IdentityRecord Record(Identity identity, string generation = "1") => new()
    {
        DeviceId = identity.DeviceId,
        ModuleId = identity.ModuleId,
        GenerationId = generation,
        ETag = 1,
        PrimaryKey = KeyOf(identity, "primary", generation),
        SecondaryKey = KeyOf(identity, "secondary", generation),
    };

    /// <summary>A key that nobody else has.</summary>
    public static string KeyOf(Identity identity, string which = "primary", string generation = "1") =>
        Convert.ToBase64String(System.Security.Cryptography.SHA256.HashData(System.Text.Encoding.ASCII.GetBytes($"{identity} {which} {generation}")));

    /// <summary>Stores the record as the registry does: on disk first, then told.</summary>
    public async Task PutAsync(IdentityRecord record)
    {
        await Metadata.WriteAsync(tx =>
        {
            Metadata.Identities.Put(tx, record);
            return true;
        });
        Identities.Invalidate(Identity.Of(record.DeviceId, record.ModuleId));
    }

    /// <summary>Stores tags in the twin of a device, as the hub does: on disk first, then told.</summary>
    /// <param name="json">Without white space, as it is stored.</param>
    /// <param name="isNoted">False: the hub does not learn of it.</param>
    public async Task TagAsync(string deviceId, string json, string? module = null, bool isNoted = true)
    {
        var twin = TwinParts.New(Identity.Of(deviceId, module), "1", Time.GetUtcNow().UtcDateTime) with { Tags = System.Text.Encoding.UTF8.GetBytes(json) };
        await Metadata.WriteAsync(tx =>
        {
            Metadata.Twins.Put(tx, twin);
            return true;
        });
        if (isNoted && module is null)
            Tags.NoteChange(deviceId);
    }

    public async Task DeleteAsync(Identity identity)
    {
        await Metadata.WriteAsync(tx => Metadata.Identities.Delete(tx, identity.DeviceId, identity.ModuleId));
        Identities.Invalidate(identity);
    }

    public string Token(Identity identity, string? resource = null, string which = "primary", TimeSpan? life = null) =>
        SharedAccessSignature.Create(resource ?? ResourceOf(identity), KeyOf(identity, which), Time.GetUtcNow() + (life ?? TimeSpan.FromHours(1)));

    public string PolicyToken(string policy, string resource = Host, TimeSpan? life = null)
    {
        var key = Policies.List().Single(record => record.Name == policy).PrimaryKey;
        return SharedAccessSignature.Create(resource, key, Time.GetUtcNow() + (life ?? TimeSpan.FromHours(1)), policy);
    }

    /// <summary>As an Event Hubs client makes it: of the text of the key.</summary>
    public string EventHubsToken(string policy, string resource = $"sb://{Host}/hub", bool asText = true, string which = "primary", TimeSpan? life = null)
    {
        var record = Policies.List().Single(known => known.Name == policy);
        var key = which == "primary" ? record.PrimaryKey : record.SecondaryKey;
        return SharedAccessSignature.Create(
            resource, asText ? Convert.ToBase64String(System.Text.Encoding.UTF8.GetBytes(key)) : key, Time.GetUtcNow() + (life ?? TimeSpan.FromHours(1)), policy);
    }

    public static string ResourceOf(Identity identity) =>
        $"{Host}/devices/{identity.DeviceId}{(identity.IsModule ? $"/modules/{identity.ModuleId}" : "")}";

    /// <summary>The same store, as a hub that starts anew sees it.</summary>
    public void Restart()
    {
        Authorities.Dispose();
        Authorities = NewAuthorities();
        Devices = new DeviceAuthenticator(Tokens, Identities, Policies, Authorities, Audit, Attempts, Time);
    }

    public async Task<Admission> ConnectAsync(Identity identity, PresentedCertificate shown) =>
        await Devices.AuthenticateAsync(identity, Host, new DeviceCredential(null, shown), new Peer(null, "mqtt"), CancellationToken.None);

    public async Task<Admission> ShowAsync(PresentedCertificate shown, Rights needed = Rights.RegistryRead, string host = Host) =>
        await Services.AuthenticateAsync(shown, host, needed, new Peer(null, "https"), CancellationToken.None);

    private CertificateAuthorities NewAuthorities()
    {
        Connected ??= new ConnectedDevices(Attempts, Time);
        return new CertificateAuthorities(Metadata, Audit, Connected, Tags, (url, cancel) => Fetch(url, cancel), [Never], Time, NullLogger<CertificateAuthorities>.Instance);
    }

    public async Task<Admission> ConnectAsync(Identity identity, string? token, string host = Host) =>
        await Devices.AuthenticateAsync(identity, host, new DeviceCredential(token, null), new Peer(null, "mqtt"), CancellationToken.None);

    public async Task<Admission> CallAsync(string? authorization, string resource = "devices", Rights needed = Rights.RegistryRead, string host = Host) =>
        await Services.AuthenticateAsync(authorization, host, resource, needed, new Peer(null, "https"), CancellationToken.None);
}

/// <summary>Keeps what is recorded in memory; can refuse to.</summary>
internal sealed class RecordingAudit : IAuditTrail
{
    public ConcurrentQueue<AuditEntry> Entries { get; } = [];

    public bool IsBroken { get; set; }

    public ValueTask RecordAsync(AuditEntry entry, CancellationToken cancel)
    {
        if (IsBroken)
            throw new IOException("no space left");
        Entries.Enqueue(entry);
        return ValueTask.CompletedTask;
    }

    public void Note(AuditEntry entry) => Entries.Enqueue(entry);
}
