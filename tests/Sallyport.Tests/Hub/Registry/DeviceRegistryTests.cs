using Sallyport.Hub.Access;
using Sallyport.Hub.Registry;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Storage.Metadata;
using static Sallyport.Tests.Hub.Registry.RegistryFixture;
using Sallyport.Tests.Hub.Access;

namespace Sallyport.Tests.Hub.Registry;

public sealed class DeviceRegistryTests : IAsyncLifetime
{
    private RegistryFixture _hub = null!;

    public async ValueTask InitializeAsync() => _hub = await OpenAsync();

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    [Fact]
    public async Task Create_WithoutKeys_MakesTwo()
    {
        var device = await _hub.CreateAsync("d1", draft: new IdentityDraft { Credential = new CredentialDraft { PrimaryKey = "", SecondaryKey = null } });

        Assert.Equal(IdentityAuthentication.Sas, device.Authentication);
        Assert.Equal(32, Convert.FromBase64String(device.PrimaryKey!).Length);
        Assert.NotEqual(device.PrimaryKey, device.SecondaryKey);
        Assert.True(device.Enabled);
    }

    [Theory]
    [InlineData(16)]
    [InlineData(64)]
    public async Task Create_WithKeys_KeepsThem(int bytes)
    {
        var key = Convert.ToBase64String(new byte[bytes]);

        var device = await _hub.CreateAsync("d1", draft: new IdentityDraft { Credential = new CredentialDraft { PrimaryKey = key } });

        Assert.Equal(key, device.PrimaryKey);
        Assert.NotEqual(key, device.SecondaryKey);
    }

    [Theory]
    [InlineData("AAAAAAAAAAAAAAAAAAAA")]
    [InlineData("not base64 at all, but long enough")]
    [InlineData("AAAAAAAAAAAAAAAAAAAAAA== ")]
    [InlineData("AAAAAAAAAAAAAAAAAAAAAB==")]
    public async Task Create_WithABadKey_IsRefusedWithoutRepeatingIt(string key)
    {
        var refusal = await Assert.ThrowsAsync<HubException>(
            () => _hub.CreateAsync("d1", draft: new IdentityDraft { Credential = new CredentialDraft { SecondaryKey = key } }));

        Assert.Same(HubErrors.ArgumentInvalid, refusal.Error);
        Assert.Contains("secondaryKey", refusal.Message);
        Assert.DoesNotContain(key.Trim(), refusal.Message);
        Assert.Null(_hub.Stored("d1"));
    }

    [Fact]
    public async Task Create_WithThumbprintsOnly_IsSelfSignedWithoutKeys()
    {
        var thumbprint = new string('a', 40);

        var device = await _hub.CreateAsync("d1", draft: new IdentityDraft { Credential = new CredentialDraft { PrimaryThumbprint = thumbprint } });

        Assert.Equal(IdentityAuthentication.SelfSigned, device.Authentication);
        Assert.Equal(thumbprint.ToUpperInvariant(), device.PrimaryThumbprint);
        Assert.Null(device.PrimaryKey);
    }

    [Theory]
    [InlineData("")]
    [InlineData("AB:CD")]
    [InlineData("zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz")]
    public Task Create_SelfSignedWithABadThumbprint_IsRefused(string thumbprint) => RefusedAsync(HubErrors.ArgumentInvalid, () => _hub.CreateAsync(
        "d1", draft: new IdentityDraft { Credential = new CredentialDraft { Type = IdentityAuthentication.SelfSigned, PrimaryThumbprint = thumbprint } }));

    [Fact]
    public async Task Create_Twice_IsRefusedAndKeepsTheFirst()
    {
        var first = await _hub.CreateAsync("d1");

        await RefusedAsync(HubErrors.DeviceAlreadyExists, () => _hub.CreateAsync("d1"));

        Assert.Equal(first.PrimaryKey, _hub.Stored("d1")!.PrimaryKey);
    }

    [Fact]
    public async Task Create_AfterDelete_IsAnotherGenerationThatOldEtagsDoNotFit()
    {
        var first = await _hub.CreateAsync("d1");
        await _hub.DeleteAsync("d1");

        var second = await _hub.CreateAsync("d1");

        Assert.NotEqual(first.GenerationId, second.GenerationId);
        Assert.NotEqual(first.ETag, second.ETag);
    }

    [Theory]
    [InlineData(".")]
    [InlineData("..")]
    public Task Create_OfDots_IsRefused(string id) => RefusedAsync(HubErrors.ArgumentInvalid, () => _hub.CreateAsync(id));

    [Fact]
    public async Task Update_OfNobody_IsNotFound()
    {
        await RefusedAsync(HubErrors.DeviceNotFound, () => _hub.UpdateAsync("nobody", new IdentityDraft()));
        await RefusedAsync(HubErrors.DeviceNotFound, () => _hub.CreateAsync("nobody", "m1"));
    }

    [Fact]
    public async Task Update_WithAnOldEtag_IsPreconditionFailed()
    {
        var created = await _hub.CreateAsync("d1");
        var condition = EntityTagCondition.Parse(EntityTag.Format(created.ETag));
        await _hub.UpdateAsync("d1", new IdentityDraft { StatusReason = "first" }, condition);

        await RefusedAsync(HubErrors.PreconditionFailed, () => _hub.UpdateAsync("d1", new IdentityDraft { StatusReason = "second" }, condition));

        Assert.Equal("first", _hub.Stored("d1")!.StatusReason);
    }

    [Fact]
    public async Task Update_LeavesWhatIsNotGiven()
    {
        var created = await _hub.CreateAsync("d1", draft: new IdentityDraft { Enabled = false, StatusReason = "in repair", DeviceScope = "scope" });

        var updated = await _hub.UpdateAsync("d1", new IdentityDraft());

        Assert.Equal(created with { ETag = created.ETag + 1, ParentScopes = updated.ParentScopes }, updated);
        Assert.Equal(["scope"], updated.ParentScopes);
    }

    [Fact]
    public async Task Update_GivenNothing_Clears()
    {
        await _hub.CreateAsync("d1", draft: new IdentityDraft { StatusReason = "in repair", DeviceScope = "scope" });

        var updated = await _hub.UpdateAsync("d1", new IdentityDraft { StatusReason = new Given<string>(true, null), DeviceScope = "" });

        Assert.Null(updated.StatusReason);
        Assert.Null(updated.DeviceScope);
        Assert.Empty(updated.ParentScopes);
    }

    [Fact]
    public async Task Update_OfTheStatus_NotesItsTime()
    {
        await _hub.CreateAsync("d1");
        _hub.Time.Advance(TimeSpan.FromMinutes(1));

        var disabled = await _hub.UpdateAsync("d1", new IdentityDraft { Enabled = false });

        Assert.Equal(_hub.Time.GetUtcNow(), disabled.StatusUpdatedTime);
    }

    [Fact]
    public Task Put_WithTooLongAStatusReason_IsRefused() =>
        RefusedAsync(HubErrors.ArgumentInvalid, () => _hub.CreateAsync("d1", draft: new IdentityDraft { StatusReason = new string('x', 129) }));

    [Fact]
    public async Task EdgeDevice_HasItsOwnScopeItsParentAndTheRuntimesModules()
    {
        var top = await _hub.CreateAsync("top", draft: new IdentityDraft { IotEdge = true });
        var device = await _hub.CreateAsync("edge", draft: new IdentityDraft { IotEdge = true, ParentScopes = new(true, [top.DeviceScope!]) });

        Assert.Equal($"ms-azure-iot-edge://edge-{device.GenerationId}", device.DeviceScope);
        Assert.Equal([top.DeviceScope!], device.ParentScopes);
        Assert.Equal(["$edgeAgent", "$edgeHub"], _hub.Registry.ListModules("edge").Select(module => module.Record.ModuleId));
        Assert.NotNull(_hub.Stored("edge", "$edgeHub")!.PrimaryKey);
    }

    [Fact]
    public async Task EdgeDevice_ThatBecomesALeaf_LosesScopeAndModulesButKeepsItsParent()
    {
        var edge = await _hub.CreateAsync("edge", draft: new IdentityDraft { IotEdge = true, ParentScopes = new(true, ["parent"]) });
        var runtime = _hub.Connect("edge", "$edgeHub");

        var leaf = await _hub.UpdateAsync("edge", new IdentityDraft { IotEdge = false, DeviceScope = edge.DeviceScope });

        Assert.Equal("parent", leaf.DeviceScope);
        Assert.Equal(["parent"], leaf.ParentScopes);
        Assert.Empty(_hub.Registry.ListModules("edge"));
        Assert.Same(HubErrors.Unauthorized, runtime.ClosedWith);
    }

    [Fact]
    public async Task LeafDevice_WithAScope_HasItAsParent()
    {
        var device = await _hub.CreateAsync("leaf", draft: new IdentityDraft { DeviceScope = "parent", ParentScopes = new(true, []) });

        Assert.Equal(["parent"], device.ParentScopes);
    }

    [Fact]
    public async Task LeafDevice_MovedByItsParentScopes_HasTheNewScope()
    {
        await _hub.CreateAsync("leaf", draft: new IdentityDraft { DeviceScope = "parent" });

        var moved = await _hub.UpdateAsync("leaf", new IdentityDraft { DeviceScope = "parent", ParentScopes = new(true, ["other"]) });

        Assert.Equal("other", moved.DeviceScope);
    }

    [Fact]
    public async Task Modules_BeyondFifty_AreRefused()
    {
        await _hub.CreateAsync("d1");
        for (var i = 0; i < DeviceRegistry.MaxModulesPerDevice; i++)
            await _hub.CreateAsync("d1", $"m{i}");

        await RefusedAsync(HubErrors.TooManyModules, () => _hub.CreateAsync("d1", "one-more"));

        Assert.Equal(DeviceRegistry.MaxModulesPerDevice, _hub.Registry.ListModules("d1").Count);
    }

    [Fact]
    public async Task Delete_OfADevice_EndsItAndItsModules()
    {
        await _hub.CreateAsync("d1");
        await _hub.CreateAsync("d1", "m1");
        await _hub.CreateAsync("d10");
        var (device, module, other) = (_hub.Connect("d1"), _hub.Connect("d1", "m1"), _hub.Connect("d10"));

        await _hub.DeleteAsync("d1");

        Assert.Same(HubErrors.DeviceNotFound, device.ClosedWith);
        Assert.Same(HubErrors.DeviceNotFound, module.ClosedWith);
        Assert.Null(other.ClosedWith);
        await RefusedAsync(HubErrors.DeviceNotFound, () => Task.Run(() => _hub.Registry.Get(Identity.Of("d1", "m1"))));
    }

    [Fact]
    public async Task Disable_EndsTheLink()
    {
        await _hub.CreateAsync("d1");
        var link = _hub.Connect("d1");

        await _hub.UpdateAsync("d1", new IdentityDraft { Enabled = false });

        Assert.Same(HubErrors.DeviceNotFound, link.ClosedWith);
    }

    [Fact]
    public async Task RenewKey_EndsTheLinkButSwapDoesNot()
    {
        var created = await _hub.CreateAsync("d1");
        var link = _hub.Connect("d1");

        var swapped = await _hub.UpdateAsync("d1", new IdentityDraft { Renewal = KeyRenewal.Swap });
        Assert.Equal((created.SecondaryKey, created.PrimaryKey), (swapped.PrimaryKey, swapped.SecondaryKey));
        Assert.Null(link.ClosedWith);

        var renewed = await _hub.UpdateAsync("d1", new IdentityDraft { Renewal = KeyRenewal.Primary });
        Assert.NotEqual(swapped.PrimaryKey, renewed.PrimaryKey);
        Assert.Equal(swapped.SecondaryKey, renewed.SecondaryKey);
        Assert.Same(HubErrors.Unauthorized, link.ClosedWith);
    }

    [Fact]
    public async Task Change_ByTheTimeItIsAnswered_IsWhatAuthenticationKnows()
    {
        var created = await _hub.CreateAsync("d1");
        Assert.True(_hub.Cache.Find(Identity.Of("d1"))!.Enabled);

        await _hub.UpdateAsync("d1", new IdentityDraft { Enabled = false });
        Assert.False(_hub.Cache.Find(Identity.Of("d1"))!.Enabled);

        await _hub.DeleteAsync("d1");
        Assert.Null(_hub.Cache.Find(Identity.Of("d1")));
        Assert.NotEqual("", created.GenerationId);
    }

    [Fact]
    public async Task Change_IsInTheTrailBeforeItTakesEffect()
    {
        var storedWhenRecorded = true;
        _hub.Audit.Recorded = _ => storedWhenRecorded = _hub.Stored("d1") is not null;

        await _hub.CreateAsync("d1");

        Assert.False(storedWhenRecorded);
        Assert.Equal(Owner.Done("device create", "d1"), Assert.Single(_hub.Audit.Entries));
    }

    [Fact]
    public async Task Change_WhileTheTrailCannotBeWritten_IsRefused()
    {
        _hub.Audit.IsBroken = true;

        await RefusedAsync(HubErrors.ServiceUnavailable, () => _hub.CreateAsync("d1"));

        Assert.Null(_hub.Stored("d1"));
    }

    [Fact]
    public async Task Change_ThatIsRefused_IsInTheTrailAsRefused()
    {
        await RefusedAsync(HubErrors.DeviceNotFound, () => _hub.DeleteAsync("nobody"));

        var entry = Assert.Single(_hub.Audit.Entries);
        Assert.Equal(("nobody", "refused", "c0ffee"), (entry.Target, entry.Result, entry.CorrelationId));
    }

    [Fact]
    public async Task Change_OvertakenByAnother_IsTakenBackInTheTrail()
    {
        var created = await _hub.CreateAsync("d1");
        var condition = EntityTagCondition.Parse(EntityTag.Format(created.ETag));
        _hub.Audit.Recorded = _ =>
        {
            _hub.Audit.Recorded = null;
            _hub.Metadata.WriteAsync(tx => { _hub.Metadata.Identities.Put(tx, created with { ETag = created.ETag + 1 }); return 0; }).AsTask().Wait();
        };

        await RefusedAsync(HubErrors.PreconditionFailed, () => _hub.UpdateAsync("d1", new IdentityDraft { StatusReason = "late" }, condition));

        Assert.Equal(["done", "done", "refused"], _hub.Audit.Entries.Select(entry => entry.Result));
    }

    [Fact]
    public async Task Bulk_WithItemsThatCannotBeDone_DoesTheOthers()
    {
        await _hub.CreateAsync("there");

        var outcomes = await _hub.Registry.ChangeAsync(
            Owner,
            [
                new IdentityChange(Identity.Of("new"), PutMode.Create, new IdentityDraft(), EntityTagCondition.Any),
                new IdentityChange(Identity.Of("there"), PutMode.Create, new IdentityDraft(), EntityTagCondition.Any),
                IdentityChange.Delete(Identity.Of("nobody"), EntityTagCondition.Any),
                new IdentityChange(Identity.Of("new", "m1"), PutMode.CreateOrUpdate, new IdentityDraft(), EntityTagCondition.Any),
            ],
            CancellationToken.None);

        Assert.Equal([null, HubErrors.DeviceAlreadyExists, HubErrors.DeviceNotFound, null], outcomes.Select(outcome => outcome.Refusal?.Error));
        Assert.NotNull(_hub.Stored("new", "m1"));
    }

    [Fact]
    public Task Bulk_NamingOneTwice_IsRefusedWhole() => RefusedAsync(HubErrors.DeviceDefinedMultipleTimes, async () => await _hub.Registry.ChangeAsync(
        Owner,
        [.. Enumerable.Repeat(new IdentityChange(Identity.Of("d1"), PutMode.Create, new IdentityDraft(), EntityTagCondition.Any), 2)],
        CancellationToken.None));

    [Fact]
    public async Task Get_OfAConnectedDevice_SaysSoAndWhenItWasSeen()
    {
        await _hub.CreateAsync("d1");
        _hub.Connect("d1");
        var connectedAt = _hub.Time.GetUtcNow();
        _hub.Time.Advance(TimeSpan.FromSeconds(5));
        _hub.Activity.Seen(Identity.Of("d1"));

        var state = _hub.Registry.Get(Identity.Of("d1"));

        Assert.True(state.IsConnected);
        Assert.Equal(connectedAt, state.Record.ConnectionStateUpdatedTime);
        Assert.Equal(_hub.Time.GetUtcNow(), state.Record.LastActivityTime);
    }

    [Fact]
    public async Task List_LimitedByTag_HoldsWhoHasIt_AndANamesakeMadeAnewHasNot()
    {
        foreach (var id in (string[])["a", "b", "c"])
            await _hub.CreateAsync(id);
        foreach (var id in (string[])["a", "c"])
            await _hub.TagAsync(id, """{"site":"berlin"}""");
        var berlin = ScopeTests.Of(_hub.Tags, "site=berlin");

        Assert.Equal(["a", "c"], Listed(null));
        Assert.Equal(["c"], Listed("a"));
        await _hub.DeleteAsync("a");
        await _hub.CreateAsync("a");
        Assert.Equal(["c"], Listed(null));

        IEnumerable<string> Listed(string? after) => _hub.Registry.ListDevices(berlin, after, 10).Select(state => state.Record.DeviceId);
    }

    [Fact]
    public async Task List_AfterAnId_GoesOnBehindIt()
    {
        foreach (var id in new[] { "b", "a", "C", "d" })
            await _hub.CreateAsync(id);

        Assert.Equal(["C", "a"], _hub.Registry.ListDevices(Scope.Everything, null, 2).Select(state => state.Record.DeviceId));
        Assert.Equal(["b", "d"], _hub.Registry.ListDevices(Scope.Everything, "a", 2).Select(state => state.Record.DeviceId));
        Assert.Equal((4, 4), _hub.Registry.CountDevices());
    }
}
