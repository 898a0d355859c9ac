using System.Runtime.InteropServices;
using Microsoft.Data.Sqlite;
using Sallyport.Storage.Metadata;
using Sallyport.Storage.Secrets;

namespace Sallyport.Tests.Storage.Metadata;

/// <summary>What is SQLite's own: grouped commits, failing disks, crashes, query plans, secrets in the file.</summary>
public sealed class SqliteMetadataTests : IDisposable
{
    private readonly SqliteFixture _fixture = new();

    public void Dispose() => _fixture.Dispose();

    [Fact]
    public async Task Write_ManyWaiting_ShareACommit()
    {
        await using var metadata = await _fixture.OpenAsync();
        var commits = metadata.Commits;
        using var held = new ManualResetEventSlim();
        var first = metadata.WriteAsync(tx => held.Wait(TimeSpan.FromSeconds(30))).AsTask();
        var rest = Enumerable.Range(0, 600).Select(i => Put(metadata, $"d{i}")).ToArray();
        held.Set();

        await Task.WhenAll([first, .. rest]);

        // The first commit may have begun alone; 600 acts need three of at most 256.
        Assert.InRange(metadata.Commits - commits, 3, 4);
        Assert.Equal((600, 600), metadata.Read(tx => metadata.Identities.CountDevices(tx)));
    }

    [Fact]
    public async Task Write_MoreThanTheQueueHolds_WaitsAndLosesNothing()
    {
        await using var metadata = await _fixture.OpenAsync();
        using var held = new ManualResetEventSlim();
        var first = metadata.WriteAsync(tx => held.Wait(TimeSpan.FromSeconds(30))).AsTask();
        var writes = Enumerable.Range(0, SqliteWriter.MaxWaitingActs + 500).Select(i => Put(metadata, $"d{i}")).ToArray();
        held.Set();

        await Task.WhenAll([first, .. writes]);

        Assert.Equal(writes.Length, metadata.Read(tx => metadata.Identities.CountDevices(tx)).Total);
    }

    [Fact]
    public async Task Write_DiskFull_IsRefusedWhileReadsGoOnAndLaterWritesSucceed()
    {
        await using var metadata = await _fixture.OpenAsync();
        await Put(metadata, "before");
        await Pragma(metadata, "PRAGMA max_page_count = 1"); // SQLite takes the present size when it is larger.

        var refused = await Assert.ThrowsAsync<MetadataWriteException>(() => PutMany(metadata));

        Assert.False(refused.IsPermanent);
        Assert.False(metadata.Failure.IsCompleted);
        Assert.Equal(["before"], metadata.Read(tx => metadata.Identities.ListDevices(tx, null, 10)).Select(d => d.DeviceId));

        await Pragma(metadata, "PRAGMA max_page_count = 1000000");
        await PutMany(metadata);
        Assert.Equal((501, 501), metadata.Read(tx => metadata.Identities.CountDevices(tx)));
    }

    [Fact]
    public async Task Write_DiskFails_StopsTheWriterAndReadsGoOn()
    {
        await using var metadata = await _fixture.OpenAsync();
        await Put(metadata, "before");
        BreakWriting(_fixture.Path + "-wal");

        var refused = await Assert.ThrowsAsync<MetadataWriteException>(() => Put(metadata, "after"));
        var later = await Assert.ThrowsAsync<MetadataWriteException>(() => Put(metadata, "later"));

        Assert.True(refused.IsPermanent && later.IsPermanent);
        Assert.IsType<SqliteException>(await metadata.Failure);
        Assert.Equal(["before"], metadata.Read(tx => metadata.Identities.ListDevices(tx, null, 10)).Select(d => d.DeviceId));
    }

    [Fact]
    public async Task Open_CopyTakenWhileWriting_HoldsAllThatWasAcknowledged()
    {
        await using var metadata = await _fixture.OpenAsync();
        for (var round = 0; round < 5; round++)
        {
            for (var i = 0; i < 20; i++)
                await Put(metadata, $"r{round}-{i}");
            var unacknowledged = Enumerable.Range(0, 50).Select(i => Put(metadata, $"u{round}-{i}")).ToArray();

            // What a crash leaves: the files as they are, in the middle of a write.
            var copy = _fixture.Path + $".crash-{round}";
            File.Copy(_fixture.Path, copy);
            File.Copy(_fixture.Path + "-wal", copy + "-wal");
            await Task.WhenAll(unacknowledged);

            await using var recovered = await _fixture.OpenAsync(copy);
            var devices = recovered.Read(tx => recovered.Identities.ListDevices(tx, null, 10_000)).Select(d => d.DeviceId).ToHashSet();
            for (var r = 0; r <= round; r++)
                Assert.All(Enumerable.Range(0, 20), i => Assert.Contains($"r{r}-{i}", devices));
            Assert.Equal(devices.Count, recovered.Read(tx => recovered.Identities.CountDevices(tx)).Total);
        }
    }

    [Fact]
    public async Task Open_WriteAheadLogTorn_KeepsWholeCommitsOnly()
    {
        var copy = _fixture.Path + ".crash";
        await using (var metadata = await _fixture.OpenAsync())
        {
            for (var i = 0; i < 10; i++)
                await Put(metadata, $"d{i}");
            File.Copy(_fixture.Path, copy);
            File.Copy(_fixture.Path + "-wal", copy + "-wal");
        }

        using (var wal = new FileStream(copy + "-wal", FileMode.Open))
            wal.SetLength(wal.Length - 1000);

        await using var recovered = await _fixture.OpenAsync(copy);
        var devices = recovered.Read(tx => recovered.Identities.ListDevices(tx, null, 100));
        Assert.Equal(9, devices.Count);
        Assert.Equal((9, 9), recovered.Read(tx => recovered.Identities.CountDevices(tx)));
    }

    [Fact]
    public async Task Identities_EveryQuery_SearchesAnIndex()
    {
        await using var metadata = await _fixture.OpenAsync();
        var plans = await metadata.WriteAsync(tx =>
        {
            var session = SqliteSession.Of(tx);
            var before = session.Texts.ToHashSet();
            metadata.Identities.Put(tx, MetadataContractDevice("d1"));
            metadata.Identities.Find(tx, "d1", null);
            metadata.Identities.ListDevices(tx, "d0", 10);
            metadata.Identities.ListModules(tx, "d1");
            metadata.Identities.CountDevices(tx);
            metadata.Identities.PutActivity(tx, [new("d1", null, DateTimeOffset.UnixEpoch, null)]);
            metadata.Subscriptions.Put(tx, "d1", null, "g", []);
            metadata.Subscriptions.Find(tx, "d1", null, "g");
            metadata.Identities.Delete(tx, "d1", "m1");
            metadata.Identities.Delete(tx, "d1", null);
            return session.Texts.Where(text => !before.Contains(text)).ToArray()
                .SelectMany(text => session["EXPLAIN QUERY PLAN " + text].All(row => row.GetString(3), [.. Enumerable.Repeat<SqliteValue>(1, 16)])).ToArray();
        });

        Assert.NotEmpty(plans);
        Assert.DoesNotContain(plans, plan => plan.StartsWith("SCAN", StringComparison.Ordinal) || plan.Contains("TEMP B-TREE", StringComparison.Ordinal));
        Assert.Contains(plans, plan => plan.Contains("USING INDEX device ", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Statement_Values_ComeBackAsTheyWere()
    {
        await using var metadata = await _fixture.OpenAsync();
        string[] texts = ["", "a", "ü😀", "with\0zero", new string('x', 5000)];
        byte[][] blobs = [[], [0], [.. Enumerable.Range(0, 255).Select(i => (byte)i)]];
        metadata.Read(tx =>
        {
            var session = SqliteSession.Of(tx);
            foreach (var text in texts)
                Assert.Equal((text, false), session["SELECT $1"].All(row => (row.GetString(0), row.IsDBNull(0)), text)[0]);
            foreach (var blob in blobs)
                Assert.Equal(blob, session["SELECT $1"].All(row => row.IsDBNull(0) ? null : row.GetBytes(0), blob)[0]);
            Assert.Equal([2, 3], session["SELECT $1"].All(row => row.GetBytes(0), SqliteValue.Of([2, 3, 4], 2))[0]);
            Assert.True(session["SELECT $1"].All(row => row.IsDBNull(0), (string?)null)[0]);
            Assert.Equal((long.MinValue, true), session["SELECT $1, $2"].All(row => (row.GetInt64(0), row.GetBoolean(1)), long.MinValue, true)[0]);

            // By their numbers, wherever they stand; what is not asked for is passed over.
            Assert.Equal((3L, 1L), session["SELECT $3, $1"].All(row => (row.GetInt64(0), row.GetInt64(1)), 1, 2, 3, 4)[0]);
            return true;
        });
    }

    [Fact]
    public async Task Secrets_InTheFile_AreNotReadable()
    {
        await using (var metadata = await _fixture.OpenAsync())
        {
            await metadata.WriteAsync(tx =>
            {
                metadata.Identities.Put(tx, MetadataContractDevice("d1") with { PrimaryKey = "plain-primary", SecondaryKey = "plain-secondary" });
                metadata.Policies.Put(tx, new("service", 1, "plain-policy-1", "plain-policy-2", 1, DateTimeOffset.UnixEpoch));
                metadata.Connections.Put(tx, new("c", "sql", "{}", "plain-connection", false, "o", 1, 1, DateTimeOffset.UnixEpoch));
                return true;
            });
            AssertNothingPlain();
        }

        AssertNothingPlain();

        void AssertNothingPlain()
        {
            foreach (var file in Directory.GetFiles(_fixture.DirectoryPath))
            {
                using var stream = new FileStream(file, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
                var content = new byte[stream.Length];
                stream.ReadExactly(content);
                Assert.Equal(-1, content.AsSpan().IndexOf("plain-"u8));
                Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(file));
            }
        }
    }

    [Fact]
    public async Task Find_KeyCopiedFromAnotherIdentity_IsRefusedByName()
    {
        await using var metadata = await _fixture.OpenAsync();
        await metadata.WriteAsync(tx =>
        {
            metadata.Identities.Put(tx, MetadataContractDevice("mine"));
            metadata.Identities.Put(tx, MetadataContractDevice("victim"));
            return SqliteSession.Of(tx)["UPDATE identity SET primary_key = (SELECT primary_key FROM identity WHERE device_id = 'mine') WHERE device_id = 'victim'"].Execute();
        });

        var refused = Assert.Throws<SecretUnreadableException>(() => metadata.Read(tx => metadata.Identities.Find(tx, "victim", null)));

        Assert.Equal(("identity", "victim", "primary_key"), (refused.Place.Table, refused.Place.Identity, refused.Place.Column));
        Assert.NotNull(metadata.Read(tx => metadata.Identities.Find(tx, "mine", null)));
    }

    [Fact]
    public async Task Read_TriesToWrite_IsRefused()
    {
        await using var metadata = await _fixture.OpenAsync();

        Assert.Throws<SqliteException>(() => metadata.Read(tx => metadata.Identities.Delete(tx, "d1", null)));
    }

    [Fact]
    public async Task Devices_InGreatNumber_AreListedCountedAndFound()
    {
        // 100,000 by SALLYPORT_TEST_DEVICES=100000.
        var count = int.Parse(Environment.GetEnvironmentVariable("SALLYPORT_TEST_DEVICES") ?? "2000");
        await using var metadata = await _fixture.OpenAsync();
        for (var from = 0; from < count; from += 1000)
        {
            await metadata.WriteAsync(tx =>
            {
                for (var i = from; i < Math.Min(from + 1000, count); i++)
                    metadata.Identities.Put(tx, MetadataContractDevice($"device-{i:D6}"));
                return true;
            });
        }

        var listed = 0;
        string? after = null;
        while (metadata.Read(tx => metadata.Identities.ListDevices(tx, after, 1000)) is { Count: > 0 } page)
        {
            Assert.Equal($"device-{listed:D6}", page[0].DeviceId);
            listed += page.Count;
            after = page[^1].DeviceId;
        }

        Assert.Equal(count, listed);
        Assert.Equal((count, count), metadata.Read(tx => metadata.Identities.CountDevices(tx)));
        Assert.Equal("cHJpbWFyeQ==", metadata.Read(tx => metadata.Identities.Find(tx, $"device-{count - 1:D6}", null))!.PrimaryKey);
    }

    private static IdentityRecord MetadataContractDevice(string id) =>
        new() { DeviceId = id, GenerationId = "g", ETag = 1, PrimaryKey = "cHJpbWFyeQ==", SecondaryKey = "c2Vjb25kYXJ5" };

    private static Task<bool> Put(SqliteMetadata metadata, string id) => metadata.WriteAsync(tx =>
    {
        metadata.Identities.Put(tx, MetadataContractDevice(id));
        return true;
    }).AsTask();

    private static Task<bool> PutMany(SqliteMetadata metadata) => metadata.WriteAsync(tx =>
    {
        for (var i = 0; i < 500; i++)
            metadata.Identities.Put(tx, MetadataContractDevice($"d{i}"));
        return true;
    }).AsTask();

    private static Task<long?> Pragma(SqliteMetadata metadata, string pragma) => metadata.WriteAsync(tx => SqliteSession.Of(tx)[pragma].Number()).AsTask();

    // Puts descriptors that cannot be written over those of the file, as if the disk had gone away under it.
    private static void BreakWriting(string path)
    {
        using var readOnly = File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
        foreach (var link in Directory.GetFiles("/proc/self/fd"))
        {
            var descriptor = int.Parse(Path.GetFileName(link));
            if (descriptor != (int)readOnly.DangerousGetHandle() && TargetOf(link) == path)
                Assert.True(dup2((int)readOnly.DangerousGetHandle(), descriptor) >= 0);
        }
    }

    // Tests beside this one close descriptors of their own at any time.
    private static string? TargetOf(string link)
    {
        try
        {
            return File.ResolveLinkTarget(link, false)?.FullName;
        }
        catch (FileNotFoundException)
        {
            return null;
        }
    }

    [DllImport("libc", SetLastError = true)]
    private static extern int dup2(int from, int to);
}
