using Sallyport.Hub.Access;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Diagnosis;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Sas;
using Sallyport.Storage.Metadata;

namespace Sallyport.Tests.Hub.Access;

public sealed class TokenRevocationTests(AccessFixture hub) : IClassFixture<AccessFixture>
{
    private static readonly Identity Device = Identity.Of("d1");
    private static readonly Identity Module = Identity.Of("d1", "m1");
    private static readonly Actor Owner = new("policy:iothubowner", "", AzureRights.All, "c1", "local");

    [Fact]
    public async Task Token_LivingLongerThanTheMaximum_IsRefused_ByDevicesAndServices()
    {
        hub.Restrict(new TokenOptions(TimeSpan.FromHours(1)));

        var device = await hub.ConnectAsync(Device, hub.Token(Device, life: TimeSpan.FromHours(2)));
        var service = await hub.CallAsync(hub.PolicyToken("registryRead", life: TimeSpan.FromDays(365)));

        Assert.Equal((HubErrors.Unauthorized, HubErrors.Unauthorized), (device.Error, service.Error));
        Assert.Contains("longer than the 60 minutes that this hub allows (Access:MaxTokenLifetimeMinutes)", device.Reason);
        Assert.Contains("longer than the 60 minutes", service.Reason);
        Assert.True((await hub.ConnectAsync(Device, hub.Token(Device, life: TimeSpan.FromHours(1) + SharedAccessSignature.ClockSkew))).IsAdmitted);
        Assert.True((await hub.CallAsync(hub.PolicyToken("registryRead"))).IsAdmitted);
        hub.Restrict(new TokenOptions());
        Assert.True((await hub.ConnectAsync(Device, hub.Token(Device, life: TimeSpan.FromDays(3650)))).IsAdmitted);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Revoke_OfOneToken_RefusesExactlyThat_AlsoAfterARestart(bool byFingerprint)
    {
        var token = hub.Token(Device, life: TimeSpan.FromMinutes(byFingerprint ? 50 : 51));
        var other = hub.Token(Device, life: TimeSpan.FromMinutes(52));

        await hub.Revocation.RevokeAsync(Owner, byFingerprint ? FingerprintOf(token) : token, CancellationToken.None);

        var refused = await hub.ConnectAsync(Device, token);
        Assert.Equal((HubErrors.Unauthorized, "the token was revoked (token revoke)"), (refused.Error, refused.Reason));
        Assert.True((await hub.ConnectAsync(Device, other)).IsAdmitted);
        using var reopened = new RevokedTokens(hub.Metadata, hub.Audit, hub.Time);
        Assert.True(reopened.IsRevoked(FingerprintOf(token)));
        Assert.False(reopened.IsRevoked(FingerprintOf(other)));
    }

    [Fact]
    public async Task Revoke_BySixteenDigits_NeedsATokenThatWasSeen()
    {
        var token = hub.Token(Device, life: TimeSpan.FromMinutes(40));
        var start = FingerprintOf(token)[..16];

        var unseen = await Assert.ThrowsAsync<HubException>(async () => await hub.Revocation.RevokeAsync(Owner, start, CancellationToken.None));
        hub.Attempts.Note(Attempt.Of(Device, new Peer(null, "mqtt"), await hub.ConnectAsync(Device, token)));
        var revoked = await hub.Revocation.RevokeAsync(Owner, start, CancellationToken.None);

        Assert.Contains("give the token, or all 64 digits", unseen.Message);
        Assert.Equal((FingerprintOf(token), "d1", hub.Time.GetUtcNow().AddMinutes(45)), (revoked.Fingerprint, revoked.Subject, revoked.AcceptedUntil));
        Assert.False((await hub.ConnectAsync(Device, token)).IsAdmitted);
    }

    [Fact]
    public async Task Revoke_OfAPolicysToken_NeedsAccessManage()
    {
        var token = hub.PolicyToken("registryRead", life: TimeSpan.FromMinutes(30));
        var clerk = Owner with { Rights = AzureRights.RegistryWrite };

        var refused = await Assert.ThrowsAsync<HubException>(async () => await hub.Revocation.RevokeAsync(clerk, token, CancellationToken.None));
        Assert.Equal(HubErrors.UnauthorizedAccess, refused.Error);
        Assert.True((await hub.CallAsync(token)).IsAdmitted);

        await hub.Revocation.RevokeAsync(Owner, token, CancellationToken.None);
        Assert.Equal("the token was revoked (token revoke)", (await hub.CallAsync(token)).Reason);
    }

    [Theory]
    [InlineData("SharedAccessSignature sr=hub.test&sig=x&se=1", "sig is not the canonical base64 of 32 bytes (character 39)")]
    [InlineData("0123456789abcde", "neither a token nor 16 to 64 hex digits")]
    [InlineData("g123456789abcdef", "neither a token nor 16 to 64 hex digits")]
    public async Task Revoke_OfWhatIsNoToken_SaysSo(string given, string problem)
    {
        var refused = await Assert.ThrowsAsync<HubException>(async () => await hub.Revocation.RevokeAsync(Owner, given, CancellationToken.None));

        Assert.Equal(HubErrors.ArgumentInvalid, refused.Error);
        Assert.Contains(problem, refused.Message);
    }

    [Fact]
    public async Task Revoke_WhileTheTrailCannotBeWritten_IsRefusedAndNothingChanges()
    {
        var token = hub.Token(Device, life: TimeSpan.FromMinutes(20));
        hub.Audit.IsBroken = true;
        var refused = await Assert.ThrowsAsync<HubException>(async () => await hub.Revocation.RevokeAsync(Owner, token, CancellationToken.None));
        hub.Audit.IsBroken = false;

        Assert.Equal(HubErrors.ServiceUnavailable, refused.Error);
        Assert.True((await hub.ConnectAsync(Device, token)).IsAdmitted);
    }

    [Fact]
    public async Task Reset_OfAnIdentity_RefusesWhatEndsUntilThen_AndWhatWasSeen_AndNobodyElse()
    {
        var (shortLived, longLived) = (hub.Token(Module, life: TimeSpan.FromMinutes(90)), hub.Token(Module, life: TimeSpan.FromDays(2)));
        foreach (var token in new[] { shortLived, longLived })
            hub.Attempts.Note(Attempt.Of(Module, new Peer(null, "mqtt"), await hub.ConnectAsync(Module, token)));

        var reset = await hub.Revocation.ResetAsync(Owner, Module, TimeSpan.FromHours(2), CancellationToken.None);

        Assert.Equal((hub.Time.GetUtcNow().AddHours(2), FingerprintOf(longLived)), (reset.RefusedUntil, Assert.Single(reset.Fingerprints)));
        Assert.Contains("the tokens of this identity were reset", (await hub.ConnectAsync(Module, shortLived)).Reason);
        Assert.Equal("the token was revoked (token revoke)", (await hub.ConnectAsync(Module, longLived)).Reason);
        Assert.False((await hub.ConnectAsync(Module, hub.Token(Module, life: TimeSpan.FromHours(2), which: "secondary"))).IsAdmitted);
        Assert.True((await hub.ConnectAsync(Module, hub.Token(Module, life: TimeSpan.FromHours(2) + TimeSpan.FromSeconds(1)))).IsAdmitted);
        Assert.True((await hub.ConnectAsync(Device, hub.Token(Device))).IsAdmitted);

        // A namesake made anew has keys that nobody had.
        await hub.PutAsync(AccessFixture.Record(Module) with { GenerationId = "2" });
        Assert.True((await hub.ConnectAsync(Module, shortLived)).IsAdmitted);
        await hub.PutAsync(AccessFixture.Record(Module));
    }

    [Fact]
    public async Task Reset_WithoutAnyMaximumLifetime_AsksForOne()
    {
        var refused = await Assert.ThrowsAsync<HubException>(async () => await hub.Revocation.ResetAsync(Owner, Device, null, CancellationToken.None));

        Assert.Contains("--lifetime", refused.Message);
    }

    [Fact]
    public async Task Rows_OfTokensThatHaveEnded_Pass()
    {
        await using var own = await OwnFixture.StartAsync();
        await own.Hub.Revocation.RevokeAsync(Owner, own.Hub.Token(Device), CancellationToken.None);
        await own.Hub.Revocation.ResetAsync(Owner, Device, TimeSpan.FromHours(1), CancellationToken.None);
        own.Hub.Time.Advance(TimeSpan.FromHours(2));

        await own.Hub.Revocation.RevokeAsync(Owner, own.Hub.Token(Module), CancellationToken.None);

        Assert.Equal("d1/m1", Assert.Single(own.Hub.Metadata.Read(own.Hub.Metadata.Revocations.ListTokens)).Subject);
        Assert.Empty(own.Hub.Metadata.Read(own.Hub.Metadata.Revocations.ListResets));
        Assert.Single(own.Hub.Revoked.Tokens);
    }

    [Fact]
    public async Task Revoke_BeyondTheBound_IsRefused_AndSaysWhatToDo()
    {
        await using var own = await OwnFixture.StartAsync();
        await own.Hub.Metadata.WriteAsync(tx =>
        {
            for (var i = 0; i < RevokedTokens.MaxTokens; i++)
                own.Hub.Metadata.Revocations.PutToken(tx, new RevokedTokenRecord(i.ToString("x64"), "", null, own.Hub.Time.GetUtcNow()));
            return true;
        });
        using var full = new RevokedTokens(own.Hub.Metadata, own.Hub.Audit, own.Hub.Time);
        var revocation = new TokenRevocation(full, own.Hub.Identities, own.Hub.Attempts, own.Hub.Connected, new TokenOptions(), own.Hub.Time);

        var refused = await Assert.ThrowsAsync<HubException>(async () => await revocation.RevokeAsync(Owner, own.Hub.Token(Device), CancellationToken.None));

        Assert.Contains("renew the key that signed it instead", refused.Message);
        await revocation.RevokeAsync(Owner, 7.ToString("x64"), CancellationToken.None); // Once more is none more.
    }

    private static string FingerprintOf(string token) => SharedAccessSignature.TryParse(token, out _)!.Value.Fingerprint.ToString();

    private sealed class OwnFixture(AccessFixture hub) : IAsyncDisposable
    {
        public AccessFixture Hub { get; } = hub;

        public static async Task<OwnFixture> StartAsync()
        {
            var hub = new AccessFixture();
            await hub.InitializeAsync();
            return new OwnFixture(hub);
        }

        public ValueTask DisposeAsync() => Hub.DisposeAsync();
    }
}
