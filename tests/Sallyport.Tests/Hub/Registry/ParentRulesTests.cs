using Sallyport.Hub.Access;
using Sallyport.Hub.Registry;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Storage.Metadata;

namespace Sallyport.Tests.Hub.Registry;

/// <summary>Who may be whose parent, and what becomes of children.</summary>
public sealed class ParentRulesTests : IAsyncLifetime
{
    private RegistryFixture _hub = null!;

    public async ValueTask InitializeAsync() => _hub = await RegistryFixture.OpenAsync();

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    [Fact]
    public async Task Leaf_OfAnEdgeDevice_HasItsScopeAsItsOwnAndAsParent()
    {
        var edge = await EdgeAsync("edge");
        Assert.Equal($"ms-azure-iot-edge://edge-{edge.GenerationId}", edge.DeviceScope);

        var leaf = await _hub.CreateAsync("leaf", draft: new IdentityDraft { DeviceScope = edge.DeviceScope });

        Assert.Equal((edge.DeviceScope, edge.DeviceScope), (leaf.DeviceScope, leaf.ParentScopes[0]));
        Assert.Equal(["leaf"], Children(edge));
    }

    [Theory]
    [InlineData("ms-azure-iot-edge://nobody-1", "there is no edge device")]
    [InlineData("ms-azure-iot-edge://edge-1", "there is no edge device")] // of an older namesake
    [InlineData("ms-azure-iot-edge://leaf-1", "there is no edge device")]
    [InlineData("ms-azure-iot-edge://", "there is no edge device")]
    public async Task Parent_ThatIsNoEdgeDevice_IsRefused(string scope, string why)
    {
        await EdgeAsync("edge");
        await _hub.CreateAsync("leaf");

        var refusal = await Assert.ThrowsAsync<HubException>(() => _hub.CreateAsync("child", draft: new IdentityDraft { DeviceScope = scope }));

        Assert.Equal(HubErrors.ArgumentInvalid, refusal.Error);
        Assert.Contains(why, refusal.Message, StringComparison.Ordinal);
        Assert.Null(_hub.Stored("child"));
    }

    [Fact]
    public async Task Parent_ThatIsTheDeviceItselfOrBelowIt_IsRefused()
    {
        var top = await EdgeAsync("top");
        var middle = await EdgeAsync("middle", top);
        var low = await EdgeAsync("low", middle);

        await RefusedAsync("top", top, "top is the device itself");
        await RefusedAsync("top", low, "low is below the device");
    }

    [Fact]
    public async Task EdgeDevices_UnderOneAnother_AreFiveDeepAndNoMore_AlsoWhenTheyAreMovedTogether()
    {
        var line = new List<IdentityRecord> { await EdgeAsync("e0") };
        for (var i = 1; i <= ParentRules.MaxDepth; i++)
            line.Add(await EdgeAsync($"e{i}", line[^1]));

        await Assert.ThrowsAsync<HubException>(() => EdgeAsync("e6", line[^1]));
        var leaf = await _hub.CreateAsync("leaf", draft: new IdentityDraft { DeviceScope = line[^1].DeviceScope });
        Assert.Equal(line[^1].DeviceScope, leaf.DeviceScope);

        await Assert.ThrowsAsync<HubException>(() => _hub.UpdateAsync("leaf", new IdentityDraft { IotEdge = true }));

        var other = await EdgeAsync("other");
        var below = await EdgeAsync("below", other);
        await RefusedAsync("other", line[ParentRules.MaxDepth - 1], "at most 5 deep");
        await _hub.UpdateAsync("below", To(line[ParentRules.MaxDepth - 1]));
        Assert.Equal([line[ParentRules.MaxDepth - 1].DeviceScope!], _hub.Stored("below")!.ParentScopes);
        Assert.Equal(below.DeviceScope, _hub.Stored("below")!.DeviceScope);
    }

    [Fact]
    public async Task Children_OfOneEdgeDevice_AreAHundred()
    {
        var edge = await EdgeAsync("edge");
        for (var i = 0; i < ParentRules.MaxChildren; i++)
            await _hub.CreateAsync($"leaf{i:000}", draft: new IdentityDraft { DeviceScope = edge.DeviceScope });

        var refusal = await Assert.ThrowsAsync<HubException>(() => _hub.CreateAsync("onemore", draft: new IdentityDraft { DeviceScope = edge.DeviceScope }));

        Assert.Contains("edge has 100 children already", refusal.Message, StringComparison.Ordinal);
        await _hub.UpdateAsync("leaf001", new IdentityDraft { DeviceScope = edge.DeviceScope, StatusReason = "it is one of them" });
        await _hub.UpdateAsync("leaf001", new IdentityDraft { DeviceScope = "" });
        await _hub.CreateAsync("onemore", draft: new IdentityDraft { DeviceScope = edge.DeviceScope });
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Children_OfAnEdgeDeviceThatIsDeleted_OrOneNoMore_HaveNoParent_AndNothingElseChanges(bool isDeleted)
    {
        var edge = await EdgeAsync("edge");
        var leaf = await _hub.CreateAsync("leaf", draft: new IdentityDraft { DeviceScope = edge.DeviceScope, StatusReason = "kept" });
        var low = await EdgeAsync("low", edge);
        var lowest = await _hub.CreateAsync("lowest", draft: new IdentityDraft { DeviceScope = low.DeviceScope });

        if (isDeleted)
            await _hub.DeleteAsync("edge");
        else
            await _hub.UpdateAsync("edge", new IdentityDraft { IotEdge = false });

        Assert.Equal((null, 0, "kept", leaf.PrimaryKey, leaf.ETag + 1), (_hub.Stored("leaf")!.DeviceScope, _hub.Stored("leaf")!.ParentScopes.Count, _hub.Stored("leaf")!.StatusReason, _hub.Stored("leaf")!.PrimaryKey, _hub.Stored("leaf")!.ETag));
        Assert.Equal((low.DeviceScope, 0), (_hub.Stored("low")!.DeviceScope, _hub.Stored("low")!.ParentScopes.Count));
        Assert.Equal(lowest.DeviceScope, _hub.Stored("lowest")!.DeviceScope);
    }

    [Fact]
    public async Task Scope_OfSomebodysOwnWording_IsKept_AndLeadsToNobody()
    {
        var leaf = await _hub.CreateAsync("leaf", draft: new IdentityDraft { DeviceScope = "hall 7" });

        Assert.Equal(("hall 7", "hall 7"), (leaf.DeviceScope, leaf.ParentScopes[0]));
    }

    [Fact]
    public async Task ParentThatIsGone_StandsInTheWayOfNoOtherChange()
    {
        // From before parents were looked at.
        await _hub.CreateAsync("leaf");
        await _hub.Metadata.WriteAsync(tx =>
        {
            _hub.Metadata.Identities.Put(tx, _hub.Metadata.Identities.Find(tx, "leaf", null)! with { DeviceScope = "ms-azure-iot-edge://gone-1", ParentScopes = ["ms-azure-iot-edge://gone-1"] });
            return true;
        });

        var after = await _hub.UpdateAsync("leaf", new IdentityDraft { DeviceScope = "ms-azure-iot-edge://gone-1", ParentScopes = new(true, ["ms-azure-iot-edge://gone-1"]), StatusReason = "x" });

        Assert.Equal("x", after.StatusReason);
    }

    [Theory]
    [InlineData("edge-with-dashes")]
    [InlineData("e%.+_#*?!(),=@$':;")]
    public async Task Scope_OfEveryLegalId_IsFoundByIt(string id)
    {
        var edge = await EdgeAsync(id);
        await _hub.CreateAsync("leaf", draft: new IdentityDraft { DeviceScope = edge.DeviceScope });

        Assert.True(EdgeScope.TryReadDevice(edge.DeviceScope, out var read));
        Assert.Equal(id, read);
        Assert.Equal(["leaf"], Children(edge));
        Assert.Equal(["leaf", id], _hub.Cache.WithParents("leaf").Select(device => device.DeviceId));
    }

    [Fact]
    public async Task Gateway_ThatChanges_EndsWhatItOpenedForOthers_AndNothingElse()
    {
        var edge = await EdgeAsync("edge");
        await _hub.CreateAsync("leaf", draft: new IdentityDraft { DeviceScope = edge.DeviceScope });
        await _hub.CreateAsync("other");
        TestLink Through(string id, string name = "edge/$edgeHub") => Connect(new TestLink(Identity.Of(id), _hub.Connected) { Principal = new Principal(PrincipalKind.Module, name, Rights.DeviceConnect, DateTimeOffset.MaxValue, "{}", "") { Gateways = ["edge"] } });
        TestLink Connect(TestLink link)
        {
            _hub.Connected.Attach(link);
            return link;
        }

        var (leaf, by) = (Through("leaf"), _hub.Connect("other"));
        await _hub.ChangeAsync("edge", "$edgeHub", PutMode.Update, new IdentityDraft { Renewal = KeyRenewal.Both });
        Assert.Equal((HubErrors.Unauthorized, null), (leaf.ClosedWith, by.ClosedWith));

        leaf = Through("leaf");
        await _hub.UpdateAsync("edge", new IdentityDraft { StatusReason = "painted" });
        Assert.Null(leaf.ClosedWith);
        await _hub.UpdateAsync("leaf", new IdentityDraft { DeviceScope = "" });
        Assert.Equal(HubErrors.Unauthorized, leaf.ClosedWith);

        await _hub.UpdateAsync("leaf", new IdentityDraft { DeviceScope = edge.DeviceScope });
        leaf = Through("leaf");
        await _hub.UpdateAsync("edge", new IdentityDraft { Enabled = false });
        Assert.Equal(HubErrors.Unauthorized, leaf.ClosedWith);

        leaf = Through("leaf");
        await _hub.DeleteAsync("edge");
        Assert.Equal((HubErrors.Unauthorized, null), (leaf.ClosedWith, by.ClosedWith));
    }

    private static IdentityDraft To(IdentityRecord parent) => new() { ParentScopes = new Given<IReadOnlyList<string>>(true, [parent.DeviceScope!]) };

    private Task<IdentityRecord> EdgeAsync(string id, IdentityRecord? parent = null) =>
        _hub.CreateAsync(id, draft: (parent is null ? new IdentityDraft() : To(parent)) with { IotEdge = true });

    private string[] Children(IdentityRecord edge) => [.. _hub.Metadata.Read(tx => _hub.Metadata.Scopes.ListChildren(tx, edge.DeviceScope!, null, 1000)).Select(child => child.DeviceId)];

    private async Task RefusedAsync(string id, IdentityRecord parent, string why) =>
        Assert.Contains(why, (await Assert.ThrowsAsync<HubException>(() => _hub.UpdateAsync(id, To(parent)))).Message, StringComparison.Ordinal);
}
