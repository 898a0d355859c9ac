using Sallyport.Storage.Metadata;

namespace Sallyport.Tests.Storage.Metadata;

/// <summary>Policies, subscriptions, checkpoints, consumer groups, connections and the outbox.</summary>
public abstract class StoresContract : MetadataContract
{
    [Fact]
    public async Task Policies_PutListDelete_RoundTrips()
    {
        var service = new PolicyRecord("service", long.MaxValue, "cA==", "cw==", 3, Noon.AddTicks(1));
        var owner = new PolicyRecord("iothubowner", 5, "cDI=", "czI=", 1, Noon);
        await WriteAsync(tx =>
        {
            Metadata.Policies.Put(tx, service with { Rights = 1, Generation = 2 });
            Metadata.Policies.Put(tx, service);
            Metadata.Policies.Put(tx, owner);
        });

        Assert.Equal(service, Metadata.Read(tx => Metadata.Policies.Find(tx, "service")));
        Assert.Equal([owner, service], Metadata.Read(tx => Metadata.Policies.List(tx)));
        Assert.True(await Metadata.WriteAsync(tx => Metadata.Policies.Delete(tx, "service")));
        Assert.False(await Metadata.WriteAsync(tx => Metadata.Policies.Delete(tx, "service")));
        Assert.Null(Metadata.Read(tx => Metadata.Policies.Find(tx, "service")));
    }

    [Fact]
    public async Task PolicyUse_PutListDelete_GoesWithItsPolicy()
    {
        var service = new PolicyRecord("service", 6, "cA==", "cw==", 3, Noon) { DevicePrefixes = "plant- mill-", DeviceTags = "site%3Dberlin a.b%3D7", ConsumerGroups = "g", Expires = Noon.AddDays(1), CertificateThumbprint = new string('A', 64), Disabled = true };
        await WriteAsync(tx =>
        {
            Metadata.Policies.Put(tx, service);
            Metadata.Policies.PutUse(tx, [new("service", 2, Noon), new("gone", 2, Noon)]);
            Metadata.Policies.PutUse(tx, [new("service", 2, Noon.AddTicks(1)), new("service", 4, Noon)]);
        });

        Assert.Equal(service, Metadata.Read(tx => Metadata.Policies.Find(tx, "service")));
        Assert.Equal([new("service", 2, Noon.AddTicks(1)), new("service", 4, Noon)], Metadata.Read(Metadata.Policies.ListUse));
        Assert.Equal("site%3Dberlin a.b%3D7", Assert.Single(Metadata.Read(Metadata.Policies.ListDeviceTags)));
        Assert.Equal((true, false), Metadata.Read(tx => (Metadata.Policies.HasCertificate(tx, new string('A', 64)), Metadata.Policies.HasCertificate(tx, new string('B', 64)))));
        await WriteAsync(tx => Metadata.Policies.Delete(tx, "service"));
        Assert.Empty(Metadata.Read(Metadata.Policies.ListUse));
        Assert.Empty(Metadata.Read(Metadata.Policies.ListDeviceTags));
    }

    [Fact]
    public async Task Connections_PutListDelete_RoundTrips()
    {
        var lake = new ConnectionRecord("lake", "sql", """{"table":"t"}""", "Host=h;Password=p", true, "policy:iothubowner", 9, 4, Noon.AddTicks(7));
        await WriteAsync(tx =>
        {
            Metadata.Connections.Put(tx, lake with { Epoch = 1, Paused = false });
            Metadata.Connections.Put(tx, lake);
            Metadata.Connections.Put(tx, lake with { Name = "a", Secret = "" });
        });

        Assert.Equal(lake, Metadata.Read(tx => Metadata.Connections.Find(tx, "lake")));
        Assert.Equal(["a", "lake"], Metadata.Read(tx => Metadata.Connections.List(tx)).Select(c => c.Name));
        Assert.True(await Metadata.WriteAsync(tx => Metadata.Connections.Delete(tx, "lake")));
        Assert.False(await Metadata.WriteAsync(tx => Metadata.Connections.Delete(tx, "lake")));
    }

    [Fact]
    public async Task CertificateAuthorities_PutListDelete_RoundTrips()
    {
        var plant = new CertificateAuthorityRecord
        {
            Name = "plant", Certificate = [1, 2], ETag = 3, Verified = true, IdPrefix = "p-", DeviceTags = "site%3Dberlin", VerificationCode = "C", Revocation = RevocationCheck.SoftFail,
            CrlUrl = "https://pki.test/crl", CreatedTime = Noon, UpdatedTime = Noon.AddTicks(1),
        };
        var store = Metadata.CertificateAuthorities;
        await WriteAsync(tx =>
        {
            store.Put(tx, plant with { ETag = 2 });
            store.Put(tx, plant);
            store.PutIntermediate(tx, new IntermediateRecord("plant", "BB", [5], Noon.AddTicks(2)));
            store.PutIntermediate(tx, new IntermediateRecord("plant", "AA", [4], Noon));
            store.PutIntermediate(tx, new IntermediateRecord("nowhere", "CC", [6], Noon));
            store.PutRevocationList(tx, new RevocationListRecord("plant", [7], Noon));
            store.PutRevocationList(tx, new RevocationListRecord("nowhere", [8], Noon));
        });
        await ReopenAsync();
        store = Metadata.CertificateAuthorities;

        var read = Assert.Single(Metadata.Read(store.List));
        Assert.Equal(plant with { Certificate = read.Certificate }, read);
        Assert.Equal(plant.Certificate, read.Certificate);
        Assert.Equal(["AA", "BB"], Metadata.Read(store.ListIntermediates).Select(one => one.Thumbprint));
        Assert.Equal([7], Metadata.Read(tx => store.FindRevocationList(tx, "plant"))!.Lists);
        Assert.Null(Metadata.Read(tx => store.FindRevocationList(tx, "nowhere")));

        await WriteAsync(tx => store.DeleteIntermediate(tx, "plant", "AA"));
        Assert.Equal("BB", Assert.Single(Metadata.Read(store.ListIntermediates)).Thumbprint);
        Assert.True(await Metadata.WriteAsync(tx => store.Delete(tx, "plant")));
        Assert.False(await Metadata.WriteAsync(tx => store.Delete(tx, "plant")));
        Assert.Empty(Metadata.Read(store.ListIntermediates));
        Assert.Null(Metadata.Read(tx => store.FindRevocationList(tx, "plant")));
    }

    [Fact]
    public async Task Subscriptions_OfASession_SurviveReopeningAndEndWithIt()
    {
        var generation = Device("d1").GenerationId;
        SubscriptionRecord[] two = [new("devices/d1/messages/devicebound/#", 1), new("$iothub/twin/res/#", 0)];
        await WriteAsync(tx => Metadata.Identities.Put(tx, Device("d1")));
        Assert.Null(Metadata.Read(tx => Metadata.Subscriptions.Find(tx, "d1", null, generation)));

        await WriteAsync(tx => Metadata.Subscriptions.Put(tx, "d1", null, generation, [new("other", 1)]));
        await WriteAsync(tx => Metadata.Subscriptions.Put(tx, "d1", null, generation, two));
        await ReopenAsync();
        Assert.Equal(two, Metadata.Read(tx => Metadata.Subscriptions.Find(tx, "d1", null, generation)));

        await WriteAsync(tx => Metadata.Subscriptions.Put(tx, "d1", null, generation, []));
        Assert.Empty(Metadata.Read(tx => Metadata.Subscriptions.Find(tx, "d1", null, generation))!);

        await WriteAsync(tx => Metadata.Subscriptions.Delete(tx, "d1", null));
        Assert.Null(Metadata.Read(tx => Metadata.Subscriptions.Find(tx, "d1", null, generation)));
    }

    [Fact]
    public async Task Subscriptions_OfADeletedNamesake_AreNotInherited()
    {
        await WriteAsync(tx =>
        {
            Metadata.Identities.Put(tx, Device("d1", generation: "g1"));
            Metadata.Subscriptions.Put(tx, "d1", null, "g1", [new("f", 1)]);
            Metadata.Identities.Put(tx, Device("d1", generation: "g2"));
            Metadata.Subscriptions.Put(tx, "d1", null, "g1", [new("late", 1)]);
        });

        Assert.Null(Metadata.Read(tx => Metadata.Subscriptions.Find(tx, "d1", null, "g1")));
        Assert.Null(Metadata.Read(tx => Metadata.Subscriptions.Find(tx, "d1", null, "g2")));
    }

    [Fact]
    public async Task Checkpoints_PerScopeNameAndPartition_AreApart()
    {
        await WriteAsync(tx =>
        {
            Metadata.Checkpoints.Put(tx, "group", "a", 0, 10);
            Metadata.Checkpoints.Put(tx, "group", "a", 0, 11);
            Metadata.Checkpoints.Put(tx, "group", "a", 3, long.MaxValue);
            Metadata.Checkpoints.Put(tx, "connection", "a", 0, 99);
        });

        Assert.Equal(new Dictionary<int, long> { [0] = 11, [3] = long.MaxValue }, Metadata.Read(tx => Metadata.Checkpoints.Find(tx, "group", "a")));
        Assert.Equal((1L, 0L), Metadata.Read(tx => (Metadata.Checkpoints.Count(tx, "group"), Metadata.Checkpoints.Count(tx, "none"))));
        await WriteAsync(tx => Metadata.Checkpoints.Delete(tx, "group", "a"));
        Assert.Empty(Metadata.Read(tx => Metadata.Checkpoints.Find(tx, "group", "a")));
        Assert.Equal(99, Metadata.Read(tx => Metadata.Checkpoints.Find(tx, "connection", "a"))[0]);
    }

    [Fact]
    public async Task Checkpoints_OfAScopeDeleted_AreGone_AndOthersStay()
    {
        await WriteAsync(tx =>
        {
            Metadata.Checkpoints.Put(tx, "group", "a", 0, 10);
            Metadata.Checkpoints.Put(tx, "group", "b", 3, 11);
            Metadata.Checkpoints.Put(tx, "group2", "a", 0, 12);
            Metadata.Checkpoints.DeleteAll(tx, "group");
        });

        Assert.Equal((0L, 1L), Metadata.Read(tx => (Metadata.Checkpoints.Count(tx, "group"), Metadata.Checkpoints.Count(tx, "group2"))));
    }

    [Fact]
    public async Task ConsumerGroups_AddListDelete_RoundTrips_WithoutCase()
    {
        var store = Metadata.ConsumerGroups;
        Assert.Equal(["$Default"], Metadata.Read(store.List).Select(group => group.Name));
        await WriteAsync(tx =>
        {
            store.Add(tx, new("night-shift", Noon));
            store.Add(tx, new("Dashboards", Noon.AddTicks(1)));
        });
        await ReopenAsync();
        store = Metadata.ConsumerGroups;

        Assert.Equal([new("Dashboards", Noon.AddTicks(1)), new("night-shift", Noon)], Metadata.Read(store.List).Skip(1));
        Assert.Equal((true, true, false), Metadata.Read(tx => (store.Exists(tx, "$DEFAULT"), store.Exists(tx, "DASHBOARDS"), store.Exists(tx, "dashboards2"))));
        await Assert.ThrowsAnyAsync<Exception>(() => WriteAsync(tx => store.Add(tx, new("dashboards", Noon))));
        Assert.True(await Metadata.WriteAsync(tx => store.Delete(tx, "DashBoards")));
        Assert.False(await Metadata.WriteAsync(tx => store.Delete(tx, "Dashboards")));
        Assert.False(Metadata.Read(tx => store.Exists(tx, "Dashboards")));
    }

    [Fact]
    public async Task Revocations_PutListAndDeleteEnded_RoundTrip()
    {
        var first = new RevokedTokenRecord(new string('a', 64), "d1", Noon, Noon.AddTicks(1));
        var endless = new RevokedTokenRecord(new string('b', 64), "", null, Noon.AddTicks(2));
        var reset = new TokenResetRecord("d1", null, "g1", Noon.AddHours(1), Noon);
        await WriteAsync(tx =>
        {
            Metadata.Revocations.PutToken(tx, first with { Subject = "other" });
            Metadata.Revocations.PutToken(tx, first);
            Metadata.Revocations.PutToken(tx, endless);
            Metadata.Revocations.PutReset(tx, reset with { RefusedUntil = Noon });
            Metadata.Revocations.PutReset(tx, reset);
            Metadata.Revocations.PutReset(tx, reset with { ModuleId = "m1" });
            Metadata.Revocations.DeleteEnded(tx, Noon, Noon.AddHours(1));
        });

        Assert.Equal([first, endless], Metadata.Read(Metadata.Revocations.ListTokens));
        Assert.Equal([reset, reset with { ModuleId = "m1" }], Metadata.Read(Metadata.Revocations.ListResets));
        await WriteAsync(tx => Metadata.Revocations.DeleteEnded(tx, Noon.AddTicks(1), Noon.AddHours(1).AddTicks(1)));
        Assert.Equal([endless], Metadata.Read(Metadata.Revocations.ListTokens));
        Assert.Empty(Metadata.Read(Metadata.Revocations.ListResets));
    }

    [Fact]
    public async Task Outbox_PeekAndDelete_InTheOrderOfAddition()
    {
        var records = Enumerable.Range(0, 5).Select(i => new OutboxRecord(Guid.NewGuid(), $"d{i}", 2, 3, [(byte)i, 0, 255])).ToArray();
        foreach (var record in records)
            await WriteAsync(tx => Metadata.Outbox.Add(tx, record));

        Assert.Equivalent(records[..3], Metadata.Read(tx => Metadata.Outbox.Peek(tx, 3)), strict: true);
        await WriteAsync(tx => Metadata.Outbox.Delete(tx, [records[0].Id, records[2].Id]));
        await ReopenAsync();
        Assert.Equal([records[1].Id, records[3].Id, records[4].Id], Metadata.Read(tx => Metadata.Outbox.Peek(tx, 10)).Select(r => r.Id));
    }

    [Fact]
    public async Task Outbox_EventsOfOneCommit_GoOneByOneToo()
    {
        var records = Enumerable.Range(0, 700).Select(i => new OutboxRecord(Guid.NewGuid(), $"d{i}", 2, 3, new byte[i % 7 == 0 ? 5000 : i % 3])).ToArray();
        await WriteAsync(tx =>
        {
            foreach (var record in records)
                Metadata.Outbox.Add(tx, record);
        });

        Assert.InRange(Metadata.Read(tx => Metadata.Outbox.Peek(tx, 1)).Count, 1, 256);
        Assert.Equivalent(records, Metadata.Read(tx => Metadata.Outbox.Peek(tx, 700)), strict: true);
        await WriteAsync(tx => Metadata.Outbox.Delete(tx, [records[699].Id, .. records[1..600].Select(record => record.Id), Guid.NewGuid()]));
        await ReopenAsync();

        Assert.Equivalent((OutboxRecord[])[records[0], .. records[600..699]], Metadata.Read(tx => Metadata.Outbox.Peek(tx, 1000)), strict: true);
    }

    [Fact]
    public async Task Outbox_OfAnActThatIsUndone_HasNothing()
    {
        await Assert.ThrowsAsync<InvalidOperationException>(() => WriteAsync(tx =>
        {
            Metadata.Outbox.Add(tx, new(Guid.NewGuid(), "d1", 2, 2, [1]));
            throw new InvalidOperationException();
        }));

        Assert.Empty(Metadata.Read(tx => Metadata.Outbox.Peek(tx, 10)));
    }

    [Fact]
    public async Task Outbox_Added_IsToldAfterTheCommitAndOnlyForAdditions()
    {
        var told = new TaskCompletionSource<int>(TaskCreationOptions.RunContinuationsAsynchronously);
        var count = 0;
        Metadata.Outbox.Added += () =>
        {
            Interlocked.Increment(ref count);
            told.TrySetResult(Metadata.Read(tx => Metadata.Outbox.Peek(tx, 10)).Count);
        };

        await WriteAsync(tx => Metadata.Identities.Put(tx, Device("d1")));
        await WriteAsync(tx => Metadata.Outbox.Add(tx, new(Guid.NewGuid(), "d1", 2, 2, [1])));

        Assert.Equal(1, await told.Task);
        Assert.Equal(1, count);
    }

    [Fact]
    public async Task IpFilter_Replaced_KeepsItsOrder()
    {
        IpFilterRecord[] rules = [new("z", "192.0.2.0/24", true), new("a", "::/0", false)];
        await WriteAsync(tx => Metadata.IpFilter.Replace(tx, [new("old", "10.0.0.0/8", true)]));
        await WriteAsync(tx => Metadata.IpFilter.Replace(tx, rules));
        await ReopenAsync();

        Assert.Equal(rules, Metadata.Read(Metadata.IpFilter.List));
    }

    [Fact]
    public async Task Quarantine_SurvivesReopeningAndTheDevice()
    {
        await WriteAsync(tx =>
        {
            Metadata.Identities.Put(tx, Device("d1"));
            Metadata.Quarantine.Put(tx, new("d2", Noon, "rule:tamper", ""));
            Metadata.Quarantine.Put(tx, new("d1", Noon, "policy:p", "stolen"));
        });
        await WriteAsync(tx => Metadata.Identities.Delete(tx, "d1", null));
        await ReopenAsync();

        Assert.Equal([new("d1", Noon, "policy:p", "stolen"), new("d2", Noon, "rule:tamper", "")], Metadata.Read(Metadata.Quarantine.List));
        Assert.True(await Metadata.WriteAsync(tx => Metadata.Quarantine.Delete(tx, "d1")));
        Assert.False(await Metadata.WriteAsync(tx => Metadata.Quarantine.Delete(tx, "d1")));
    }
}
