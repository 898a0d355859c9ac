using Sallyport.Storage.Metadata;

namespace Sallyport.Tests.Storage.Metadata;

/// <summary>Devices, modules, and what goes with them.</summary>
public abstract class IdentityContract : MetadataContract
{
    [Fact]
    public async Task Put_EveryField_ComesBackEqual()
    {
        var device = new IdentityRecord
        {
            DeviceId = "d1-.+%_#*?!(),=@$':;",
            ModuleId = "m1",
            GenerationId = "g",
            ETag = long.MaxValue,
            Enabled = false,
            StatusReason = "maintenance — until Monday",
            StatusUpdatedTime = Noon.AddTicks(1234567),
            Authentication = IdentityAuthentication.SelfSigned,
            PrimaryKey = "cA==",
            SecondaryKey = "cw==",
            PrimaryThumbprint = "AA",
            SecondaryThumbprint = "BB",
            IotEdge = true,
            DeviceScope = "ms-azure-iot-edge://d1-1",
            ParentScopes = ["ms-azure-iot-edge://p-1", "ms-azure-iot-edge://p-2"],
            ManagedBy = "someone",
            LastActivityTime = Noon.AddTicks(1),
            ConnectionStateUpdatedTime = Noon.AddTicks(2),
        };

        await WriteAsync(tx => Metadata.Identities.Put(tx, device));

        var found = Metadata.Read(tx => Metadata.Identities.Find(tx, device.DeviceId, "m1"));
        Assert.Equivalent(device, found, strict: true);
    }

    [Fact]
    public async Task Put_OnlyWhatIsRequired_ComesBackWithNulls()
    {
        var device = new IdentityRecord { DeviceId = "d1", GenerationId = "g", ETag = 1 };

        await WriteAsync(tx => Metadata.Identities.Put(tx, device));

        Assert.Equivalent(device, Metadata.Read(tx => Metadata.Identities.Find(tx, "d1", null)), strict: true);
    }

    [Fact]
    public async Task Put_Again_Replaces()
    {
        await WriteAsync(tx => Metadata.Identities.Put(tx, Device("d1") with { LastActivityTime = Noon }));
        await WriteAsync(tx => Metadata.Identities.Put(tx, Device("d1", generation: "g2") with { ETag = 8, PrimaryKey = "bmV3" }));

        var found = Metadata.Read(tx => Metadata.Identities.Find(tx, "d1", null))!;
        Assert.Equal((8, "g2", "bmV3", null), (found.ETag, found.GenerationId, found.PrimaryKey, found.LastActivityTime));
        Assert.Equal((1, 1), Metadata.Read(tx => Metadata.Identities.CountDevices(tx)));
    }

    [Fact]
    public async Task Find_IdOfOtherCase_IsAnotherDevice()
    {
        await WriteAsync(tx => Metadata.Identities.Put(tx, Device("Device")));

        Assert.Null(Metadata.Read(tx => Metadata.Identities.Find(tx, "device", null)));
        Assert.Null(Metadata.Read(tx => Metadata.Identities.Find(tx, "Device", "m1")));
    }

    [Fact]
    public async Task Delete_Device_TakesModulesAndSubscriptionsAlong()
    {
        await WriteAsync(tx =>
        {
            Metadata.Identities.Put(tx, Device("d1"));
            Metadata.Identities.Put(tx, Device("d1", "m1"));
            Metadata.Identities.Put(tx, Device("d10"));
            Metadata.Subscriptions.Put(tx, "d1", null, Device("d1").GenerationId, [new("a", 1)]);
            Metadata.Subscriptions.Put(tx, "d1", "m1", Device("d1").GenerationId, [new("b", 1)]);
            Metadata.Subscriptions.Put(tx, "d10", null, Device("d10").GenerationId, [new("c", 1)]);
        });

        Assert.True(await Metadata.WriteAsync(tx => Metadata.Identities.Delete(tx, "d1", null)));

        Metadata.Read(tx =>
        {
            Assert.Null(Metadata.Identities.Find(tx, "d1", null));
            Assert.Null(Metadata.Identities.Find(tx, "d1", "m1"));
            Assert.Null(Metadata.Subscriptions.Find(tx, "d1", null, Device("d1").GenerationId));
            Assert.Null(Metadata.Subscriptions.Find(tx, "d1", "m1", Device("d1").GenerationId));
            Assert.NotNull(Metadata.Identities.Find(tx, "d10", null));
            Assert.NotNull(Metadata.Subscriptions.Find(tx, "d10", null, Device("d10").GenerationId));
            return true;
        });
    }

    [Fact]
    public async Task Delete_Module_LeavesTheDevice()
    {
        await WriteAsync(tx =>
        {
            Metadata.Identities.Put(tx, Device("d1"));
            Metadata.Identities.Put(tx, Device("d1", "m1"));
            Metadata.Identities.Put(tx, Device("d1", "m2"));
        });

        Assert.True(await Metadata.WriteAsync(tx => Metadata.Identities.Delete(tx, "d1", "m1")));
        Assert.False(await Metadata.WriteAsync(tx => Metadata.Identities.Delete(tx, "d1", "m1")));

        Assert.NotNull(Metadata.Read(tx => Metadata.Identities.Find(tx, "d1", null)));
        Assert.Equal(["m2"], Metadata.Read(tx => Metadata.Identities.ListModules(tx, "d1")).Select(m => m.ModuleId));
    }

    [Fact]
    public async Task Delete_NobodyThere_SaysSo() =>
        Assert.False(await Metadata.WriteAsync(tx => Metadata.Identities.Delete(tx, "d1", null)));

    [Fact]
    public async Task ListDevices_Pages_InOrdinalOrderWithoutModules()
    {
        string[] ids = ["b", "B", "a", "_", "a1", "a-", "A", "0", "~x".Replace('~', '!'), "aa"];
        await WriteAsync(tx =>
        {
            foreach (var id in ids)
            {
                Metadata.Identities.Put(tx, Device(id));
                Metadata.Identities.Put(tx, Device(id, "m1"));
            }
        });

        List<string> listed = [];
        while (Metadata.Read(tx => Metadata.Identities.ListDevices(tx, listed.LastOrDefault(), 3)) is { Count: > 0 } page)
            listed.AddRange(page.Select(device => device.DeviceId));

        Assert.Equal(ids.Order(StringComparer.Ordinal), listed);
    }

    [Fact]
    public async Task ListModules_OfADevice_InOrdinalOrder()
    {
        await WriteAsync(tx =>
        {
            foreach (var module in (string[])["m2", "M3", "$edgeAgent", "m1"])
                Metadata.Identities.Put(tx, Device("d1", module));
            Metadata.Identities.Put(tx, Device("d2", "other"));
        });

        Assert.Equal(["$edgeAgent", "M3", "m1", "m2"], Metadata.Read(tx => Metadata.Identities.ListModules(tx, "d1")).Select(m => m.ModuleId));
    }

    [Fact]
    public async Task CountDevices_AfterEveryKindOfChange_Agrees()
    {
        await WriteAsync(tx =>
        {
            for (var i = 0; i < 10; i++)
                Metadata.Identities.Put(tx, Device($"d{i}") with { Enabled = i % 3 != 0 });
            Metadata.Identities.Put(tx, Device("d1", "m1"));
        });
        Assert.Equal((10, 6), Metadata.Read(tx => Metadata.Identities.CountDevices(tx)));

        await WriteAsync(tx =>
        {
            Metadata.Identities.Put(tx, Device("d0") with { Enabled = true });
            Metadata.Identities.Put(tx, Device("d1") with { Enabled = false });
            Metadata.Identities.Put(tx, Device("d2") with { Enabled = false });
            Metadata.Identities.Put(tx, Device("d4"));
            Metadata.Identities.Put(tx, Device("d1", "m1") with { Enabled = false });
            Metadata.Identities.Delete(tx, "d3", null);
            Metadata.Identities.Delete(tx, "d5", null);
            Metadata.Identities.Delete(tx, "d1", "m1");
        });

        var devices = Metadata.Read(tx => Metadata.Identities.ListDevices(tx, null, 100));
        Assert.Equal((8, 4), Metadata.Read(tx => Metadata.Identities.CountDevices(tx)));
        Assert.Equal((8, 4), (devices.Count, devices.Count(d => d.Enabled)));
    }

    [Fact]
    public async Task PutActivity_KeepsWhatIsNotGivenAndPassesOverTheGone()
    {
        await WriteAsync(tx => Metadata.Identities.Put(tx, Device("d1")));

        await WriteAsync(tx => Metadata.Identities.PutActivity(tx, [new("d1", null, Noon, Noon), new("gone", null, Noon, Noon)]));
        await WriteAsync(tx => Metadata.Identities.PutActivity(tx, [new("d1", null, Noon.AddMinutes(1), null)]));
        await WriteAsync(tx => Metadata.Identities.Put(tx, Device("gone")));

        var found = Metadata.Read(tx => Metadata.Identities.Find(tx, "d1", null))!;
        Assert.Equal((Noon.AddMinutes(1), Noon), (found.LastActivityTime, found.ConnectionStateUpdatedTime));
        Assert.Equal(7, found.ETag);
        Assert.Null(Metadata.Read(tx => Metadata.Identities.Find(tx, "gone", null))!.LastActivityTime);
    }

    [Fact]
    public async Task FindByCredential_KeyOrThumbprint_FindsAllWhoHaveIt()
    {
        await WriteAsync(tx =>
        {
            Metadata.Identities.Put(tx, Device("d1") with { PrimaryKey = "c2hhcmVk", SecondaryKey = "b25l" });
            Metadata.Identities.Put(tx, Device("d1", "m1") with { PrimaryKey = "dHdv", SecondaryKey = "c2hhcmVk" });
            Metadata.Identities.Put(tx, Device("d2") with { PrimaryKey = "b3du", SecondaryKey = "b3du" });
            Metadata.Identities.Put(tx, Device("d3") with { PrimaryKey = null, SecondaryKey = null, SecondaryThumbprint = "AB" });
        });

        Assert.Equal(["d1", "d1/m1"], Found("c2hhcmVk"));
        Assert.Equal(["d2"], Found("b3du"));
        Assert.Equal(["d3"], Found("AB"));
        Assert.Empty(Found("bm9ib2R5"));
        Assert.Equal((1, "d1, d1/m1"), Shared());

        await WriteAsync(tx => Metadata.Identities.Put(tx, Device("d1", "m1") with { PrimaryKey = "dHdv", SecondaryKey = "dGhyZWU=" }));
        Assert.Equal(["d1"], Found("c2hhcmVk"));
        await WriteAsync(tx => Metadata.Identities.Delete(tx, "d1", null));
        Assert.Empty(Found("c2hhcmVk"));
        Assert.Equal((0, ""), Shared());

        IEnumerable<string> Found(string credential) => Metadata.Read(tx => Metadata.Identities.FindByCredential(tx, credential, 10)).Select(found => found.ToString()).Order();

        (long, string) Shared()
        {
            var (count, examples) = Metadata.Read(tx => Metadata.Identities.FindShared(tx, 10));
            return (count, string.Join("; ", examples));
        }
    }

    [Fact]
    public async Task Survey_Pages_ShowsEveryIdentityWithoutSecrets()
    {
        await WriteAsync(tx =>
        {
            Metadata.Identities.Put(tx, Device("b") with { Enabled = false, LastActivityTime = Noon });
            Metadata.Identities.Put(tx, Device("a") with { PrimarySince = Noon, SecondarySince = Noon.AddDays(1) });
            Metadata.Identities.Put(tx, Device("a", "m1"));
        });

        List<IdentityFacts> seen = [];
        while (Metadata.Read(tx => Metadata.Identities.Survey(tx, seen.LastOrDefault(), 2)) is { Count: > 0 } page)
            seen.AddRange(page);

        Assert.Equal(["a", "a/m1", "b"], seen.Select(facts => facts.ToString()));
        Assert.Equal((Noon, Noon.AddDays(1)), (seen[0].PrimarySince, seen[0].SecondarySince));
        Assert.Equal((false, Noon), (seen[2].Enabled, seen[2].LastActivityTime));
    }
}
