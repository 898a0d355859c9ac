using System.Net;
using Sallyport.Hub.Access;
using Sallyport.Hub.Access.Certificates;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Posture;
using Sallyport.Hub.Registry;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Sas;
using Sallyport.Tests.Hub.Access.Certificates;

namespace Sallyport.Tests.Hub.Access;

/// <summary>What one connection shows, and what its links get for it; the real authenticators on a real store.</summary>
public sealed class ConnectionTokensTests : IAsyncLifetime
{
    private const string Host = AccessFixture.Host;
    private const string Partition = "hub/consumergroups/$default/partitions/0";

    private static readonly Identity D1 = Identity.Of("d1");
    private static readonly Identity D2 = Identity.Of("d2");
    private static readonly Identity M1 = Identity.Of("d1", "m1");
    private static readonly Actor Owner = new("policy:iothubowner", "", AzureRights.All, "c1", "local");
    private static readonly Peer Peer = new(new IPEndPoint(IPAddress.Loopback, 50122), "amqps");

    private readonly AccessFixture _hub = new();
    private readonly List<string> _renewed = [];
    private ConnectionTokens _connection = null!;

    public async ValueTask InitializeAsync()
    {
        await _hub.InitializeAsync();
        _connection = Connect();
    }

    public ValueTask DisposeAsync()
    {
        _connection.Dispose();
        return _hub.DisposeAsync();
    }

    // What each client puts, and the device or module that it is then.
    [Theory]
    [InlineData("hub.test%2Fdevices%2Fd1", "hub.test/devices/d1", "d1")] // Node
    [InlineData("hub.test/devices/d1", "hub.test/devices/d1", "d1")] // C, C#
    [InlineData("hub.test/devices/d1/modules/m1", "hub.test/devices/d1/modules/m1", "d1/m1")]
    [InlineData("hub.test/devices/d1", "hub.test/devices/d1/modules/m1", "d1/m1")] // Java puts the device's name for its modules
    [InlineData("amqps://hub.test:5671/devices/d1/", "amqps://hub.test/devices/d1", "d1")]
    [InlineData("hub.test/devices/d1", "hub.test", "d1")] // Go
    [InlineData("hub.test%2fdevices%2fd1%2fmodules%2fm1", "hub.test/devices", "d1/m1")]
    [InlineData("", "ALIAS.test/devices/d1", "d1")]
    public async Task Put_OfADevicesToken_IsThatDevice(string name, string sr, string expected)
    {
        Assert.True(Identity.TryParse(expected, out var identity));

        var put = await PutAsync(name, _hub.Token(identity, sr));

        Assert.Equal((expected, Rights.DeviceConnect), (put.Principal?.Name, put.Principal?.Rights));
        Assert.Equal(expected, (await AttachAsync(identity)).Principal?.Name);
        Assert.Equal(1, _connection.Count);
    }

    [Theory]
    [InlineData("a%$b:c")]
    [InlineData("a%24b")]
    [InlineData("a+b")]
    public async Task Put_OfAnIdThatCSharpEncodesTwice_IsThatDevice(string id)
    {
        var identity = Identity.Of(id);
        await _hub.PutAsync(AccessFixture.Record(identity));
        var path = $"hub.test/devices/{WebUtility.UrlEncode(id)}";

        Assert.Equal(id, (await PutAsync(path, _hub.Token(identity, path))).Principal?.Name);
        Assert.Equal(id, (await PutAsync(Uri.EscapeDataString($"hub.test/devices/{id}"), _hub.Token(identity))).Principal?.Name);
        Assert.Equal(id, (await PutAsync(path, _hub.Token(identity, "hub.test"))).Principal?.Name);
        Assert.True((await AttachAsync(identity)).IsAdmitted);
    }

    [Fact]
    public async Task Attach_OfADeviceWithoutItsToken_IsRefused()
    {
        await PutAsync("hub.test/devices/d1", _hub.Token(D1));

        var refused = await AttachAsync(D2);

        Assert.Equal((HubErrors.Unauthorized, "no token for this device was put on this connection"), (refused.Error, refused.Reason));
        Assert.Equal(HubErrors.Unauthorized, (await AttachAsync(M1)).Error); // A device's key opens no module.
        Assert.Contains(_hub.Audit.Entries, entry => entry is { Action: "authentication", Target: "d2", Result: "refused", Peer: "amqps 127.0.0.1:50122" });
        Assert.Contains(_hub.Attempts.Of("d2"), attempt => attempt.Reason == refused.Reason);
        Assert.Equal("no token of a policy for this resource was put on this connection", (await ServeAsync("messages/devicebound", Rights.CommandSend)).Reason);
    }

    [Theory]
    [InlineData("hub.test", true, true)]
    [InlineData("hub.test/devices", true, true)]
    [InlineData("hub.test/devices/d1", true, false)]
    [InlineData("hub.test/devices/d", false, false)]
    [InlineData("hub.test/devices/D1", false, false)]
    public async Task Put_OfAPolicysToken_OpensWhatItCovers(string sr, bool d1, bool d2)
    {
        Assert.Equal("device", (await PutAsync(sr, _hub.PolicyToken("device", sr))).Principal?.Name);

        Assert.Equal((d1, d1, d2), ((await AttachAsync(D1)).IsAdmitted, (await AttachAsync(M1)).IsAdmitted, (await AttachAsync(D2)).IsAdmitted));
        Assert.Equal(HubErrors.DeviceNotFound, sr == "hub.test" ? (await AttachAsync(Identity.Of("nobody"))).Error : HubErrors.DeviceNotFound);
    }

    [Fact]
    public async Task Put_OfAPolicysToken_AsksForRightsAtTheLink()
    {
        Assert.True((await PutAsync("amqps://hub.test:5671/", _hub.PolicyToken("registryRead"))).IsAdmitted);

        Assert.Equal(HubErrors.UnauthorizedAccess, (await ServeAsync("messages/devicebound", Rights.CommandSend)).Error);
        Assert.Equal(HubErrors.UnauthorizedAccess, (await AttachAsync(D1)).Error);

        await PutAsync("https://hub.test", _hub.PolicyToken("service"));
        Assert.Equal("service", (await ServeAsync("messages/devicebound", Rights.CommandSend)).Principal?.Name);
        Assert.Equal(HubErrors.UnauthorizedAccess, (await AttachAsync(D1)).Error);
    }

    [Fact]
    public async Task Attach_UsesTheClosestToken()
    {
        await PutAsync("hub.test", _hub.PolicyToken("iothubowner"));
        await PutAsync("hub.test/devices/d1", _hub.PolicyToken("device", "hub.test/devices/d1"));
        await PutAsync("hub.test/devices/d1/modules/m1", _hub.Token(M1));

        Assert.Equal("d1/m1", (await AttachAsync(M1)).Principal?.Name);
        Assert.Equal("device", (await AttachAsync(D1)).Principal?.Name);
        Assert.Equal("iothubowner", (await AttachAsync(D2)).Principal?.Name);
        Assert.Equal("iothubowner", (await ServeAsync("messages/events", Rights.TelemetryRead)).Principal?.Name);
    }

    [Fact]
    public async Task Serve_EventHubsReaders_ByTheirOwnTokens()
    {
        Assert.Equal(Rights.TelemetryRead, (await PutAsync("sb://hub.test/hub/$management", _hub.EventHubsToken("iothubowner", "sb://hub.test:31671/hub/$management"))).Principal?.Rights);
        Assert.True((await PutAsync("x", _hub.EventHubsToken("service", "sb://hub.test/hub/ConsumerGroups/$Default/Partitions/0"))).IsAdmitted);

        Assert.Equal("iothubowner", (await ServeAsync("hub/$management", Rights.TelemetryRead)).Principal?.Name);
        Assert.Equal("service", (await ServeAsync(Partition, Rights.TelemetryRead)).Principal?.Name);
        Assert.False((await ServeAsync("hub/consumergroups/$default/partitions/01", Rights.TelemetryRead)).IsAdmitted);
        Assert.Equal(HubErrors.UnauthorizedAccess, (await ServeAsync(Partition, Rights.CommandSend)).Error);
        Assert.Equal("no token for this device was put on this connection", (await AttachAsync(D1)).Reason);
    }

    [Fact]
    public async Task Serve_WhatEventHubsTokensCannot_ByTheHubsToken()
    {
        await PutAsync("hub.test", _hub.PolicyToken("iothubowner"));
        await PutAsync("sb://hub.test/messages", _hub.EventHubsToken("service", "sb://hub.test/messages"));

        Assert.Equal("iothubowner", (await ServeAsync("messages/devicebound", Rights.CommandSend)).Principal?.Name);
        Assert.Equal("service", (await ServeAsync("messages/events", Rights.TelemetryRead)).Principal?.Name);
    }

    [Fact]
    public async Task Put_Again_RenewsAndSaysWhichTokenWasReplaced()
    {
        var first = await PutAsync("hub.test/devices/d1", _hub.Token(D1));
        await PutAsync("hub.test/devices/d1", _hub.Token(D1)); // The same once more.
        Assert.Empty(_renewed);

        _hub.Time.Advance(TimeSpan.FromMinutes(45));
        var second = await PutAsync("hub.test/devices/d1", _hub.Token(D1));

        Assert.Equal([first.Principal!.CredentialFingerprint], _renewed);
        Assert.Equal(1, _connection.Count);
        _hub.Time.Advance(TimeSpan.FromMinutes(30));
        Assert.Equal(second.Principal!.Expires, (await AttachAsync(D1)).Principal?.Expires);

        await PutAsync("hub.test", _hub.PolicyToken("service"));
        await PutAsync("hub.test/", _hub.PolicyToken("service", "hub.test/", TimeSpan.FromHours(2)));
        Assert.Equal((2, 2), (_renewed.Count, _connection.Count));
    }

    [Fact]
    public async Task Put_Refused_LeavesWhatWasThere()
    {
        await PutAsync("hub.test/devices/d1", _hub.Token(D1));

        Assert.Equal(HubErrors.Unauthorized, (await PutAsync("hub.test/devices/d1", _hub.Token(D2, "hub.test/devices/d1"))).Error);

        Assert.Empty(_renewed);
        Assert.True((await AttachAsync(D1)).IsAdmitted);
    }

    [Fact]
    public async Task Attach_AfterTheTokenEnded_IsRefused()
    {
        await PutAsync("hub.test/devices/d1", _hub.Token(D1));
        await PutAsync("hub.test", _hub.PolicyToken("service"));
        _hub.Time.Advance(TimeSpan.FromMinutes(65.1));

        Assert.StartsWith("the token expired", (await AttachAsync(D1)).Reason);
        Assert.StartsWith("the token expired", (await ServeAsync("messages/events", Rights.TelemetryRead)).Reason);
        Assert.StartsWith("the token expired", (await PutAsync("hub.test", _hub.PolicyToken("service", life: TimeSpan.FromMinutes(-6)))).Reason);
    }

    [Fact]
    public async Task Attach_AfterTheTokenWasRevoked_IsRefused()
    {
        var token = _hub.Token(D1);
        await PutAsync("hub.test/devices/d1", token);
        await PutAsync("hub.test", _hub.PolicyToken("service"));

        await _hub.Revocation.RevokeAsync(Owner, token, TestContext.Current.CancellationToken);
        await _hub.Revocation.RevokeAsync(Owner, _hub.PolicyToken("service"), TestContext.Current.CancellationToken);

        Assert.Contains("revoked", (await AttachAsync(D1)).Reason);
        Assert.Contains("revoked", (await PutAsync("hub.test/devices/d1", token)).Reason);
        Assert.Contains("revoked", (await ServeAsync("messages/events", Rights.TelemetryRead)).Reason);
        Assert.Contains("revoked", (await PutAsync("hub.test", _hub.PolicyToken("service"))).Reason);
    }

    [Fact]
    public async Task Attach_AfterAReset_IsRefused()
    {
        await PutAsync("hub.test/devices/d1", _hub.Token(D1));

        await _hub.Revocation.ResetAsync(Owner, D1, TimeSpan.FromHours(1), TestContext.Current.CancellationToken);

        Assert.Contains("reset", (await AttachAsync(D1)).Reason);
        Assert.Contains("reset", (await PutAsync("hub.test/devices/d1", _hub.Token(D1))).Reason);
    }

    [Fact]
    public async Task Attach_AfterThePolicysKeyWasRenewed_IsRefused()
    {
        var put = await PutAsync("hub.test", _hub.PolicyToken("iothubowner"));

        await _hub.Policies.RenewKeyAsync(Owner, "iothubowner", PolicyKey.Primary, EntityTagCondition.Any, TestContext.Current.CancellationToken);

        Assert.True(put.Principal!.Withdrawn.IsCancellationRequested);
        Assert.Equal(HubErrors.Unauthorized, (await AttachAsync(D1)).Error);
        Assert.Equal(HubErrors.Unauthorized, (await ServeAsync("messages/events", Rights.TelemetryRead)).Error);
    }

    [Fact]
    public async Task Attach_WithACertificateAndNoToken_IsByTheCertificate()
    {
        var authority = TestAuthority.Root("self", _hub.Time.GetUtcNow().AddDays(-1));
        var shown = new PresentedCertificate(authority.Certificate, []);

        var refused = await _connection.AdmitDeviceAsync(D1, Host, shown, Peer, CancellationToken.None);
        Assert.Contains("registered for keys", refused.Reason);

        await PutAsync("hub.test/devices/d1", _hub.Token(D1));
        Assert.True((await _connection.AdmitDeviceAsync(D1, Host, shown, Peer, CancellationToken.None)).IsAdmitted);
    }

    public static TheoryData<string, string> Hostile => new()
    {
        { "hub.test", "" },
        { "hub.test", "Bearer eyJhbGciOiJub25lIn0" },
        { "hub.test", new string('a', 64 * 1024) },
        { new string('/', 64 * 1024), "SharedAccessSignature sr=hub.test&sig=a&se=1" },
        { new string('%', 2048), "{go}" },
        { new string('/', 2048), "{go}" },
        { new string('a', 64 * 1024), "{good}" },
        { "", "{go}" },
        { "hub.test", "{go}" },
        { "hub.test/devices", "{go}" },
        { "hub.test/devices/", "{go}" },
        { "hub.test//devices/d1", "{go}" },
        { "other.test/devices/d1", "{go}" },
        { "hub.test.evil/devices/d1", "{go}" },
        { "hub.test/devices/d1\0", "{go}" },
        { "hub.test%2Fdevices%2Fd1%00", "{go}" },
        { "\0\0\0\0", "{go}" },
        { "hub.test/devices/d2", "{go}" },
        { "hub.test/devices/d", "{go}" },
        { "hub.test/devices/d10", "{go}" },
        { "hub.test/devices/D1", "{go}" },
        { "hub.test/devices/d1/modules/m1", "{go}" },
        { "hub.test/devices/d1/modules", "{go}" },
        { "hub.test/devices/d1/modules/m1/modules/m1/modules/m1", "{go}" },
        { "hub.test/devices/%2e%2e/d1", "{go}" },
        { "hub.test/twins/d1", "{go}" },
        { "http://hub.test/devices/d1", "{go}" },
    };

    // {go}: signed by d1's key for the host alone.
    [Theory]
    [MemberData(nameof(Hostile))]
    public async Task Put_Hostile_IsRefusedAndKeepsNothing(string name, string token)
    {
        token = token.Replace("{go}", _hub.Token(D1, Host), StringComparison.Ordinal).Replace("{good}", _hub.Token(D1), StringComparison.Ordinal);

        var refused = await PutAsync(name, token);

        Assert.False(refused.IsAdmitted);
        Assert.Contains(refused.Error, new[] { HubErrors.Unauthorized, HubErrors.ArgumentInvalid });
        Assert.Equal(0, _connection.Count);
        Assert.InRange(refused.Reason.Length, 1, Sallyport.Hub.Diagnosis.Attempt.MaxReasonLength);
        Assert.Single(_hub.Audit.Entries, entry => entry is { Action: "authentication", Result: "refused" });
    }

    // The audience says whose token it is to be; the diagnosis of that device says why it is none.
    [Theory]
    [InlineData("Bearer eyJhbGciOiJub25lIn0", "does not start with")]
    [InlineData("{of d2}", "made for another resource than the audience it was put for: for d2, where the token was signed with neither")]
    [InlineData("{of nobody}", "there is no such policy")]
    public async Task Put_ForADevice_Refused_IsInTheDiagnosisOfThatDevice(string token, string reason)
    {
        token = token.Replace("{of d2}", _hub.Token(D1, "hub.test/devices/d2"), StringComparison.Ordinal)
            .Replace("{of nobody}", _hub.PolicyToken("service").Replace("skn=service", "skn=nobody", StringComparison.Ordinal), StringComparison.Ordinal);

        Assert.False((await PutAsync("hub.test/devices/d1", token)).IsAdmitted);

        Assert.Contains(reason, _hub.Attempts.Of("d1")[0].Reason, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Put_ToAnotherHost_IsRefused()
    {
        Assert.Equal(HubErrors.IotHubNotFound, (await _connection.PutAsync("hub.test/devices/d1", _hub.Token(D1), "other.test", Peer, CancellationToken.None)).Error);
        Assert.Equal(HubErrors.IotHubNotFound, (await PutAsync("hub.test/devices/d1", _hub.Token(D1, "other.test/devices/d1"))).Error);
        Assert.Equal(HubErrors.IotHubNotFound, (await PutAsync("hub.test", _hub.PolicyToken("service", "sb.test"))).Error);
        Assert.Equal(0, _connection.Count);
    }

    [Fact]
    public async Task Serve_HostileAddress_IsRefused()
    {
        await PutAsync("hub.test/hub", _hub.PolicyToken("service", "hub.test/hub"));

        foreach (var address in new[] { new string('/', 64 * 1024), new string('/', 2048), "", "/", "hub\0", "hu", "hub2", "/hub", "hub\0/x", "Hub/x" })
            Assert.False((await ServeAsync(address, Rights.TelemetryRead)).IsAdmitted, address.Length > 20 ? "long" : address);

        Assert.True((await ServeAsync("hub/", Rights.TelemetryRead)).IsAdmitted);
    }

    [Fact]
    public async Task Put_BeyondTheBound_IsRefusedUntilSomeHaveEnded()
    {
        for (var i = 0; i < ConnectionTokens.MaxTokens; i++)
            Assert.True((await PutAsync("", _hub.PolicyToken("device", $"hub.test/devices/x{i}", TimeSpan.FromMinutes(i == 7 ? 10 : 60)))).IsAdmitted);

        var refused = await PutAsync("hub.test/devices/d1", _hub.Token(D1));
        Assert.Equal((HubErrors.Throttled, "this connection holds 5000 tokens, as many as it may: open another one"), (refused.Error, refused.Reason));
        Assert.True((await PutAsync("", _hub.PolicyToken("device", "hub.test/devices/x0"))).IsAdmitted); // Renewal needs no place.

        _hub.Time.Advance(TimeSpan.FromMinutes(16));
        Assert.True((await PutAsync("hub.test/devices/d1", _hub.Token(D1))).IsAdmitted);
        Assert.Equal(ConnectionTokens.MaxTokens, _connection.Count);
    }

    [Fact]
    public async Task Put_OfLongTokens_IsBoundedByTheirCharacters()
    {
        var path = new string('p', 1700);
        var put = 0;
        while ((await PutAsync("", _hub.PolicyToken("device", $"hub.test/{path}{put}"))).IsAdmitted)
            put++;

        Assert.InRange(put, 1000, 1200);
        Assert.Equal(put, _connection.Count);
    }

    [Fact]
    public async Task Dispose_ForgetsEverything()
    {
        await PutAsync("hub.test", _hub.PolicyToken("iothubowner"));

        _connection.Dispose();

        Assert.Equal(0, _connection.Count);
        Assert.False((await AttachAsync(D1)).IsAdmitted);
        Assert.Equal("tokens of a connection", _connection.ToString());
        await Assert.ThrowsAsync<ObjectDisposedException>(() => PutAsync("hub.test", _hub.PolicyToken("iothubowner")));
    }

    [Theory]
    [InlineData("service@sas.root.hub", "service")]
    [InlineData("service@SAS.ROOT.alias", "service")]
    [InlineData("service", "service")]
    [InlineData("d1@sas.hub", "d1")]
    [InlineData("d1/m1@sas.hub", "d1/m1")]
    public async Task Plain_WithAToken_IsWhoTheUserSays(string user, string expected)
    {
        var token = expected == "service" ? _hub.PolicyToken("service") : _hub.Token(IdentityOf(expected));

        Assert.Equal(expected, (await PlainAsync(user, token)).Principal?.Name);
        Assert.Equal(expected, (await PlainAsync(user, token, authorizationId: user)).Principal?.Name);
    }

    [Fact]
    public async Task Plain_WithAPolicysTokenForADevice_OpensThatDevice()
    {
        Assert.True((await PlainAsync("d1@sas.hub", _hub.PolicyToken("device", "hub.test/devices/d1"))).IsAdmitted);

        Assert.Equal((true, false), ((await AttachAsync(D1)).IsAdmitted, (await AttachAsync(D2)).IsAdmitted));
    }

    [Theory]
    [InlineData("", "{service}")]
    [InlineData("iothubowner@sas.root.hub", "{service}")]
    [InlineData("service@sas.root.hub", "{d1}")]
    [InlineData("service@sas.root.other", "{service}")]
    [InlineData("service@sas.root.", "{service}")]
    [InlineData("service@sas.root.hub.test", "{service}")]
    [InlineData("@sas.hub", "{d1}")]
    [InlineData("d2@sas.hub", "{d1}")]
    [InlineData("d@sas.hub", "{d1}")]
    [InlineData("d1/m1@sas.hub", "{d1}")]
    [InlineData("d1/@sas.hub", "{d1}")]
    [InlineData("d1\0@sas.hub", "{d1}")]
    [InlineData("d1", "{d1}")]
    [InlineData("d1@sas.other", "{d1}")]
    [InlineData("service", "")]
    [InlineData("service", "SharedAccessSignature ")]
    [InlineData("service", "wrong")]
    [InlineData("service\0", "{key}")]
    [InlineData("nobody", "{key}")]
    [InlineData("d1@sas.hub", "{key}")]
    [InlineData("registryRead", "{key}")]
    public async Task Plain_Hostile_IsRefused_AndNoKeyCountsAsExposed(string user, string password)
    {
        var seen = new Sightings(_hub.Time);
        _connection = Connect(seen, isAllowed: true);
        password = password.Replace("{service}", _hub.PolicyToken("service"), StringComparison.Ordinal).Replace("{d1}", _hub.Token(D1), StringComparison.Ordinal)
            .Replace("{key}", KeyOf("service"), StringComparison.Ordinal);

        Assert.Equal(HubErrors.Unauthorized, (await PlainAsync(user, password)).Error);
        Assert.Equal(HubErrors.Unauthorized, (await PlainAsync(new string('u', 64 * 1024) + user, password)).Error);
        Assert.Equal(HubErrors.Unauthorized, (await PlainAsync(user, password, authorizationId: "iothubowner")).Error);
        Assert.Equal(0, _connection.Count);
        Assert.DoesNotContain(_hub.Policies.List(), seen.IsExposed);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Plain_WithASharedKey_CountsAsExposed_AndIsLetInOnlyWhereThatIsAllowed(bool isAllowed)
    {
        var seen = new Sightings(_hub.Time);
        _connection = Connect(seen, isAllowed);
        var key = KeyOf("service");

        var admission = await PlainAsync("service@sas.root.hub", key);

        Assert.Equal(isAllowed, admission.IsAdmitted);
        Assert.Equal(isAllowed, (await ServeAsync(Partition, Rights.TelemetryRead)).IsAdmitted);
        Assert.Equal(isAllowed ? "" : "the SASL PLAIN password is a shared key as it is, which everything on its way can read and use for ever: send a token that the key signed (Access:InsecureSharedKeyOverPlain)", admission.Reason);
        Assert.Equal(["service"], _hub.Policies.List().Where(seen.IsExposed).Select(policy => policy.Name));
        var entry = Assert.Single(_hub.Audit.Entries, entry => entry.Action == "policy key-exposed");
        Assert.Equal(("policy:service", "service", isAllowed ? "done" : "refused"), (entry.Principal, entry.Target, entry.Result));
        Assert.DoesNotContain(_hub.Audit.Entries, entry => entry.ToString().Contains(key, StringComparison.Ordinal));

        await _hub.Policies.RenewKeyAsync(Owner, "service", PolicyKey.Primary, EntityTagCondition.Any, CancellationToken.None);
        Assert.DoesNotContain(_hub.Policies.List(), seen.IsExposed);
        Assert.False((await ServeAsync(Partition, Rights.TelemetryRead)).IsAdmitted);
    }

    [Fact]
    public async Task Plain_WithASharedKey_LastsNoLongerThanTokensMay()
    {
        var options = new TokenOptions(TimeSpan.FromHours(2));
        _hub.Restrict(options);
        _connection = Connect(isAllowed: true, options: options);

        var admission = await PlainAsync("service", KeyOf("service", "secondary"));

        Assert.Equal((_hub.Time.GetUtcNow() + TimeSpan.FromHours(2) + SharedAccessSignature.ClockSkew, AzureRights.ServiceConnect), (admission.Principal?.Expires, admission.Principal?.Rights));
    }

    [Fact]
    public async Task Plain_WithAnOperatorsKey_IsRefused()
    {
        var alice = await _hub.Policies.CreateOperatorAsync(Owner, "alice", Rights.TelemetryRead, Scope.Everything, TimeSpan.FromHours(1), certificate: null, CancellationToken.None);
        _connection = Connect(isAllowed: true);

        Assert.False((await PlainAsync("operator:alice", alice.PrimaryKey)).IsAdmitted);
    }

    private static Identity IdentityOf(string text) => Identity.TryParse(text, out var identity) ? identity : throw new ArgumentException(text);

    private string KeyOf(string policy, string which = "primary")
    {
        var record = _hub.Policies.List().Single(known => known.Name == policy);
        return which == "primary" ? record.PrimaryKey : record.SecondaryKey;
    }

    private ConnectionTokens Connect(Sightings? seen = null, bool isAllowed = false, TokenOptions? options = null)
    {
        var names = new HubNames([Host, "alias.test"]);
        var plain = new PlainKeys(_hub.Policies, names, options ?? new TokenOptions(), _hub.Audit, _hub.Time, isAllowed);
        plain.Exposed += (seen ?? new Sightings(_hub.Time)).KeyExposed;
        var connection = new ConnectionTokens(_hub.Devices, _hub.Services, plain, names, _hub.Audit, _hub.Attempts, _hub.Time);
        connection.Renewed += _renewed.Add;
        return connection;
    }

    private async Task<Admission> PutAsync(string name, string token) => await _connection.PutAsync(name, token, Host, Peer, CancellationToken.None);

    private async Task<Admission> PlainAsync(string user, string password, string authorizationId = "") =>
        await _connection.PutPlainAsync(authorizationId, user, password, Host, Peer, CancellationToken.None);

    private async Task<Admission> AttachAsync(Identity identity) => await _connection.AdmitDeviceAsync(identity, Host, null, Peer, CancellationToken.None);

    private async Task<Admission> ServeAsync(string resource, Rights needed) => await _connection.AdmitServiceAsync(resource, needed, Host, certificate: null, Peer, CancellationToken.None);
}
