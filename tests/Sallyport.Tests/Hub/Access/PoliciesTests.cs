using Sallyport.Hub.Access;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Registry;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;

namespace Sallyport.Tests.Hub.Access;

public sealed class PoliciesTests : IAsyncLifetime
{
    private static readonly Actor Owner = new("policy:iothubowner", "0011223344556677", AzureRights.All, "c1", "192.0.2.1:5");
    private static readonly Actor Operator = Owner with { Principal = "policy:operator", Rights = Rights.AccessManage | Rights.TelemetryRead };

    private readonly AccessFixture _hub = new();

    private Policies Policies => _hub.Policies;

    public ValueTask InitializeAsync() => _hub.InitializeAsync();

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    [Fact]
    public async Task Operators_BeyondTheBound_AreRefused_UntilOneIsDeleted_AndDoNotCountAsPolicies()
    {
        for (var number = 0; number < Policies.MaxOperators; number++)
            await Policies.CreateOperatorAsync(Owner, $"o{number}", Rights.TelemetryRead, Scope.Everything, Policies.DefaultOperatorLife, null, CancellationToken.None);

        await AssertRefusedAsync(HubErrors.ArgumentInvalid, async () => await NextAsync());
        await Policies.DeleteOperatorAsync(Owner, "o7", CancellationToken.None);
        await NextAsync();
        Assert.Equal(5, Policies.List().Count);

        ValueTask<Sallyport.Storage.Metadata.PolicyRecord> NextAsync() =>
            Policies.CreateOperatorAsync(Owner, "next", Rights.TelemetryRead, Scope.Everything, Policies.DefaultOperatorLife, null, CancellationToken.None);
    }

    [Fact]
    public async Task Open_FirstStart_MakesTheFiveDefaults()
    {
        Assert.Equal(["device", "iothubowner", "registryRead", "registryReadWrite", "service"], Policies.List().Select(policy => policy.Name));
        Assert.Equal(10, Policies.List().SelectMany(policy => new[] { policy.PrimaryKey, policy.SecondaryKey }).Distinct().Count());
        Assert.All(Policies.List(), policy => Assert.Equal(32, Convert.FromBase64String(policy.PrimaryKey).Length));
        Assert.Equal(5, _hub.Audit.Entries.Count(entry => entry.Action == "policy create" && entry.Result == "done"));

        using var again = await Policies.OpenAsync(_hub.Metadata, _hub.Tags, _hub.Audit, _hub.Time, CancellationToken.None);
        Assert.Equal(Policies.List(), again.List());
    }

    [Theory]
    [InlineData("delete", true)]
    [InlineData("Primary", true)]
    [InlineData("Secondary", true)]
    [InlineData("Swap", false)]
    [InlineData("create another", false)]
    public async Task Change_ThatWithdrawsAKey_EndsWhatThePolicyLetIn(string change, bool ends)
    {
        var service = (await _hub.CallAsync(_hub.PolicyToken("device"), needed: Rights.DeviceConnect)).Principal!;
        var device = (await _hub.ConnectAsync(Identity.Of("d1"), _hub.PolicyToken("device"))).Principal!;
        var other = (await _hub.CallAsync(_hub.PolicyToken("service"), needed: Rights.TelemetryRead)).Principal!;

        if (change == "delete")
            await Policies.DeleteAsync(Owner, "device", EntityTagCondition.Any, CancellationToken.None);
        else if (change == "create another")
            await Policies.CreateAsync(Owner, "another", Rights.TelemetryRead, null, null, CancellationToken.None);
        else
            await Policies.RenewKeyAsync(Owner, "device", Enum.Parse<PolicyKey>(change), EntityTagCondition.Any, CancellationToken.None);

        Assert.Equal((ends, ends, false), (service.Withdrawn.IsCancellationRequested, device.Withdrawn.IsCancellationRequested, other.Withdrawn.IsCancellationRequested));
        Assert.False((await _hub.ConnectAsync(Identity.Of("d1"), _hub.Token(Identity.Of("d1")))).Principal!.Withdrawn.CanBeCanceled);
    }

    [Fact]
    public async Task Open_WithoutAnAuditTrail_MakesNothing()
    {
        await _hub.Metadata.WriteAsync(tx => Policies.List().Count(policy => _hub.Metadata.Policies.Delete(tx, policy.Name)));
        _hub.Audit.IsBroken = true;

        await Assert.ThrowsAsync<IOException>(async () => await Policies.OpenAsync(_hub.Metadata, _hub.Tags, _hub.Audit, _hub.Time, CancellationToken.None));
        Assert.Empty(_hub.Metadata.Read(_hub.Metadata.Policies.List));
    }

    [Fact]
    public void Defaults_OnlyTheOwnerHoldsRightsOfManagement()
    {
        const Rights management = Rights.AccessManage | Rights.AuditRead | Rights.ConnectionManage | Rights.RouteManage | Rights.LakeRead | Rights.ThreatRun;

        Assert.All(Policies.List(), policy => Assert.Equal(policy.Name == "iothubowner" ? management : Rights.None, (Rights)policy.Rights & management));
    }

    [Fact]
    public async Task Create_GivesAPolicyThatAuthenticatesAndSurvives()
    {
        var key = Convert.ToBase64String(new byte[16]);

        var created = await Policies.CreateAsync(Owner, "reader.1", Rights.TelemetryRead, key, null, CancellationToken.None);

        Assert.Equal((key, (long)Rights.TelemetryRead, 1L), (created.PrimaryKey, created.Rights, created.Generation));
        Assert.NotEqual(key, created.SecondaryKey);
        Assert.True((await _hub.CallAsync(_hub.PolicyToken("reader.1"), needed: Rights.TelemetryRead)).IsAdmitted);
        using var again = await Policies.OpenAsync(_hub.Metadata, _hub.Tags, _hub.Audit, _hub.Time, CancellationToken.None);
        Assert.Equal(created, again.Show(Owner, "reader.1"));
        Assert.Contains(Owner.Done("policy create", "reader.1"), _hub.Audit.Entries);
    }

    [Theory]
    [InlineData("", Rights.TelemetryRead, null)]
    [InlineData("a b", Rights.TelemetryRead, null)]
    [InlineData("a\n", Rights.TelemetryRead, null)]
    [InlineData("é", Rights.TelemetryRead, null)]
    [InlineData("p", Rights.None, null)]
    [InlineData("p", (Rights)(1L << 40), null)]
    [InlineData("p", Rights.TelemetryRead, "")]
    [InlineData("p", Rights.TelemetryRead, "c2hvcnQ=")]
    [InlineData("p", Rights.TelemetryRead, "AAAAAAAAAAAAAAAAAAAAAB==")] // bits behind the last byte
    [InlineData("p", Rights.TelemetryRead, "AAAAAAAAAAAAAAAA AAAAAA==")]
    public async Task Create_WithAnInvalidValue_IsRefused(string name, Rights rights, string? key)
    {
        await AssertRefusedAsync(HubErrors.ArgumentInvalid, async () => await Policies.CreateAsync(Owner, name, rights, null, key, CancellationToken.None));
        Assert.Equal(5, Policies.List().Count);
    }

    [Fact]
    public async Task Create_NameTaken_IsAConflict() =>
        await AssertRefusedAsync(HubErrors.Conflict, async () => await Policies.CreateAsync(Owner, "service", Rights.TelemetryRead, null, null, CancellationToken.None));

    [Fact]
    public async Task Create_TheSeventeenth_IsRefused()
    {
        for (var number = 6; number <= Policies.MaxPolicies; number++)
            await Policies.CreateAsync(Owner, $"p{number}", Rights.TelemetryRead, null, null, CancellationToken.None);

        await AssertRefusedAsync(HubErrors.ArgumentInvalid, async () => await Policies.CreateAsync(Owner, "p17", Rights.TelemetryRead, null, null, CancellationToken.None));
    }

    [Fact]
    public async Task Create_WithRightsThatTheActorLacks_IsRefused()
    {
        foreach (var right in Enum.GetValues<Rights>().Where(right => (right & ~Operator.Rights) != 0))
            await AssertRefusedAsync(HubErrors.UnauthorizedAccess, async () => await Policies.CreateAsync(Operator, "p", Operator.Rights | right, null, null, CancellationToken.None));

        await Policies.CreateAsync(Operator, "p", Operator.Rights, null, null, CancellationToken.None);
    }

    [Fact]
    public async Task OtherActs_OnAPolicyOfMoreRights_AreRefused()
    {
        Assert.Equal(HubErrors.UnauthorizedAccess, Assert.Throws<HubException>(() => Policies.Show(Operator, "iothubowner")).Error);
        await AssertRefusedAsync(HubErrors.UnauthorizedAccess, async () => await Policies.RenewKeyAsync(Operator, "device", PolicyKey.Primary, EntityTagCondition.Any, CancellationToken.None));
        await AssertRefusedAsync(HubErrors.UnauthorizedAccess, async () => await Policies.DeleteAsync(Operator, "service", EntityTagCondition.Any, CancellationToken.None));
        Assert.Contains(_hub.Audit.Entries, entry => entry is { Principal: "policy:operator", Action: "policy delete", Target: "service", Result: "refused" });
    }

    [Fact]
    public async Task Update_WithAnotherTag_ChangesNothing_AndTheTagFollowsEveryChange()
    {
        var made = await Policies.CreateAsync(Owner, "p", Rights.TelemetryRead, null, null, CancellationToken.None);
        var tags = new List<long> { Policies.TagOf(made) };
        await AssertRefusedAsync(HubErrors.PreconditionFailed, async () => await UpdateAsync(Rights.TwinRead, null, Tag(Policies.TagOf(Policies.Show(Owner, "service")))));
        await AssertRefusedAsync(HubErrors.PreconditionFailed, async () => await UpdateAsync(Rights.TwinRead, null, EntityTagCondition.Parse("no ETag of ours")));
        Assert.Equal(made, Policies.Show(Owner, "p"));

        tags.Add(Policies.TagOf(await UpdateAsync(Rights.TwinRead, null, Tag(tags[^1]))));
        Assert.True(Scope.TryCreate(["plant-"], [], [], out var scope, out _));
        tags.Add(Policies.TagOf(await UpdateAsync(null, scope, Tag(tags[^1]))));
        tags.Add(Policies.TagOf(await UpdateAsync(null, ScopeTests.Of(_hub.Tags, "site=berlin"), Tag(tags[^1]))));
        tags.Add(Policies.TagOf(await Policies.RenewKeyAsync(Owner, "p", PolicyKey.Swap, EntityTagCondition.Any, CancellationToken.None)));
        await Policies.DeleteAsync(Owner, "p", EntityTagCondition.Any, CancellationToken.None);
        _hub.Time.Advance(TimeSpan.FromMilliseconds(1));
        tags.Add(Policies.TagOf(await Policies.CreateAsync(Owner, "p", Rights.TelemetryRead, null, null, CancellationToken.None)));

        Assert.Equal(tags.Count, tags.Distinct().Count());

        ValueTask<Sallyport.Storage.Metadata.PolicyRecord> UpdateAsync(Rights? rights, Scope? to, EntityTagCondition condition) =>
            Policies.UpdateAsync(Owner, "p", rights, to, condition, CancellationToken.None);

        static EntityTagCondition Tag(long tag) => EntityTagCondition.Parse($"\"{EntityTag.Format(tag)}\"");
    }

    [Fact]
    public async Task RenewKeyAndDelete_WithAnETag_AreDoneOnlyIfNobodyWasFaster()
    {
        var before = Policies.Show(Owner, "service");
        var old = EntityTagCondition.Parse($"\"{EntityTag.Format(Policies.TagOf(before))}\"");
        var renewed = await Policies.RenewKeyAsync(Owner, "service", PolicyKey.Primary, old, CancellationToken.None);

        await AssertRefusedAsync(HubErrors.PreconditionFailed, async () => await Policies.RenewKeyAsync(Owner, "service", PolicyKey.Primary, old, CancellationToken.None));
        await AssertRefusedAsync(HubErrors.PreconditionFailed, async () => await Policies.DeleteAsync(Owner, "service", old, CancellationToken.None));
        Assert.Equal(renewed, Policies.Show(Owner, "service"));
        await Policies.DeleteAsync(Owner, "service", EntityTagCondition.Parse(EntityTag.Format(Policies.TagOf(renewed))), CancellationToken.None);
    }

    [Fact]
    public async Task RenewKey_EndsWhatTheOldKeySigned()
    {
        var before = Policies.Show(Owner, "service");
        var old = _hub.PolicyToken("service");

        var after = await Policies.RenewKeyAsync(Owner, "service", PolicyKey.Primary, EntityTagCondition.Any, CancellationToken.None);

        Assert.NotEqual(before.PrimaryKey, after.PrimaryKey);
        Assert.Equal((before.SecondaryKey, before.Generation + 1), (after.SecondaryKey, after.Generation));
        Assert.Equal(HubErrors.Unauthorized, (await _hub.CallAsync(old, needed: Rights.TwinRead)).Error);
        Assert.True((await _hub.CallAsync(_hub.PolicyToken("service"), needed: Rights.TwinRead)).IsAdmitted);
    }

    [Fact]
    public async Task RenewKey_SecondaryAndSwap()
    {
        var before = Policies.Show(Owner, "service");
        var secondary = await Policies.RenewKeyAsync(Owner, "service", PolicyKey.Secondary, EntityTagCondition.Any, CancellationToken.None);
        Assert.Equal(before.PrimaryKey, secondary.PrimaryKey);
        Assert.NotEqual(before.SecondaryKey, secondary.SecondaryKey);

        var swapped = await Policies.RenewKeyAsync(Owner, "service", PolicyKey.Swap, EntityTagCondition.Any, CancellationToken.None);
        Assert.Equal((secondary.SecondaryKey, secondary.PrimaryKey), (swapped.PrimaryKey, swapped.SecondaryKey));
    }

    [Fact]
    public async Task Delete_EndsItsTokens()
    {
        var token = _hub.PolicyToken("service");

        await Policies.DeleteAsync(Owner, "service", EntityTagCondition.Any, CancellationToken.None);

        Assert.Equal("there is no such policy", (await _hub.CallAsync(token, needed: Rights.TwinRead)).Reason);
        await AssertRefusedAsync(HubErrors.NotFound, async () => await Policies.RenewKeyAsync(Owner, "service", PolicyKey.Primary, EntityTagCondition.Any, CancellationToken.None));
    }

    [Fact]
    public async Task Delete_TheLastThatManagesAccess_IsRefused()
    {
        await AssertRefusedAsync(HubErrors.ArgumentInvalid, async () => await Policies.DeleteAsync(Owner, "iothubowner", EntityTagCondition.Any, CancellationToken.None));

        await Policies.CreateAsync(Owner, "admin", Rights.AccessManage, null, null, CancellationToken.None);
        await Policies.DeleteAsync(Owner, "iothubowner", EntityTagCondition.Any, CancellationToken.None);
        await AssertRefusedAsync(HubErrors.ArgumentInvalid, async () => await Policies.DeleteAsync(Owner, "admin", EntityTagCondition.Any, CancellationToken.None));
    }

    [Fact]
    public async Task RecoverOwner_GivesAllRightsAndNewKeys_AlsoWhenItIsGone()
    {
        var before = Policies.Show(Owner, "iothubowner");
        var renewed = await Policies.RecoverOwnerAsync(_hub.Metadata, _hub.Audit, _hub.Time, "local:root", CancellationToken.None);
        Assert.Equal(((long)AzureRights.All, before.Generation + 1), (renewed.Rights, renewed.Generation));
        Assert.Empty(new[] { before.PrimaryKey, before.SecondaryKey }.Intersect([renewed.PrimaryKey, renewed.SecondaryKey]));

        await Policies.CreateAsync(Owner, "admin", AzureRights.All, null, null, CancellationToken.None);
        await Policies.DeleteAsync(Owner, "iothubowner", EntityTagCondition.Any, CancellationToken.None);
        await Policies.RecoverOwnerAsync(_hub.Metadata, _hub.Audit, _hub.Time, "local:root", CancellationToken.None);

        using var again = await Policies.OpenAsync(_hub.Metadata, _hub.Tags, _hub.Audit, _hub.Time, CancellationToken.None);
        Assert.Equal((long)AzureRights.All, again.Show(Owner, "iothubowner").Rights);
        Assert.Contains(_hub.Audit.Entries, entry => entry is { Principal: "local:root", Action: "owner recover", Result: "done" });
    }

    [Fact]
    public async Task Change_WithoutAnAuditTrail_DoesNotHappen()
    {
        _hub.Audit.IsBroken = true;

        await AssertRefusedAsync(HubErrors.ServiceUnavailable, async () => await Policies.CreateAsync(Owner, "p", Rights.TelemetryRead, null, null, CancellationToken.None));
        await AssertRefusedAsync(HubErrors.ServiceUnavailable, async () => await Policies.DeleteAsync(Owner, "service", EntityTagCondition.Any, CancellationToken.None));

        _hub.Audit.IsBroken = false;
        Assert.Equal(5, Policies.List().Count);
        Assert.Equal(5, _hub.Metadata.Read(_hub.Metadata.Policies.List).Count);
    }

    private async Task AssertRefusedAsync(HubError error, Func<Task> act)
    {
        var refusal = await Assert.ThrowsAsync<HubException>(act);
        Assert.Equal(error, refusal.Error);
        Assert.Equal(refusal.Message, _hub.Audit.Entries.Last().Reason);
        Assert.All(
            _hub.Metadata.Read(_hub.Metadata.Policies.List),
            policy => Assert.DoesNotContain(policy.PrimaryKey, refusal.Message, StringComparison.Ordinal));
    }
}
