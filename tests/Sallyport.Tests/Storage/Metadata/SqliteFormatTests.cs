using Microsoft.Data.Sqlite;
using Sallyport.Storage;
using Sallyport.Storage.Metadata;

namespace Sallyport.Tests.Storage.Metadata;

/// <summary>Versions of the database: newer is refused, older is migrated after a copy, every landed one opens.</summary>
public sealed class SqliteFormatTests : IDisposable
{
    private static readonly string[] OneStepMore = [.. MetadataSchema.Steps, "ALTER TABLE policy ADD COLUMN note TEXT;"];

    private readonly SqliteFixture _fixture = new();

    public void Dispose() => _fixture.Dispose();

    [Fact]
    public async Task Open_New_HasTheVersionInItsHeader()
    {
        await using (await _fixture.OpenAsync())
        {
        }

        Assert.Equal((MetadataSchema.ApplicationId, MetadataSchema.Steps.Count), (Number("PRAGMA application_id"), Number("PRAGMA user_version")));
        Assert.Equal(["metadata.db"], Directory.GetFiles(_fixture.DirectoryPath).Select(Path.GetFileName));
    }

    [Fact]
    public async Task Open_Newer_IsRefusedByNameAndLeftAlone()
    {
        await using (await _fixture.OpenAsync(OneStepMore))
        {
        }

        var before = File.ReadAllBytes(_fixture.Path);
        var refused = await Assert.ThrowsAsync<UnusableDataException>(_fixture.OpenAsync);

        Assert.Contains($"metadata format {OneStepMore.Length}, and this Sallyport knows up to {MetadataSchema.Steps.Count}", refused.Message, StringComparison.Ordinal);
        Assert.Equal(before, File.ReadAllBytes(_fixture.Path));
    }

    [Fact]
    public async Task Open_Older_IsMigratedAfterACopy()
    {
        await using (var before = await _fixture.OpenAsync())
            await before.WriteAsync(tx => { before.Checkpoints.Put(tx, "s", "n", 0, 42); return true; });

        await using (var after = await _fixture.OpenAsync(OneStepMore))
            Assert.Equal(42, after.Read(tx => after.Checkpoints.Find(tx, "s", "n"))[0]);

        Assert.Equal(1, Number("SELECT count(*) FROM pragma_table_info('policy') WHERE name = 'note'"));
        var copy = $"{_fixture.Path}.format-{MetadataSchema.Steps.Count}";
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(copy));
        await using var old = await _fixture.OpenAsync(copy);
        Assert.Equal(42, old.Read(tx => old.Checkpoints.Find(tx, "s", "n"))[0]);
    }

    [Fact]
    public async Task Open_MigrationFailsHalfway_LeavesTheOldVersionWhole()
    {
        await using (await _fixture.OpenAsync())
        {
        }

        var failing = MetadataSchema.Steps.Append("CREATE TABLE half (a INTEGER) STRICT; INSERT INTO nowhere VALUES (1);").ToArray();
        await Assert.ThrowsAsync<UnusableDataException>(() => _fixture.OpenAsync(failing));

        Assert.Equal(0, Number("SELECT count(*) FROM sqlite_schema WHERE name = 'half'"));
        Assert.Equal(MetadataSchema.Steps.Count, Number("PRAGMA user_version"));
        await using (await _fixture.OpenAsync(OneStepMore))
            Assert.Equal(OneStepMore.Length, Number("PRAGMA user_version"));
    }

    [Fact]
    public async Task Open_DatabaseOfAnotherProgram_IsRefused()
    {
        Execute("CREATE TABLE theirs (a); PRAGMA application_id = 7;");

        Assert.Contains("of another program", (await Assert.ThrowsAsync<UnusableDataException>(_fixture.OpenAsync)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Open_NotADatabase_IsRefused()
    {
        File.WriteAllText(_fixture.Path, string.Concat(Enumerable.Repeat("This is not a database. ", 200)));

        Assert.Contains("damaged or not a metadata database", (await Assert.ThrowsAsync<UnusableDataException>(_fixture.OpenAsync)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Open_EveryLandedVersion_HoldsWhatWasWritten()
    {
        var fixtures = Directory.GetFiles(Path.Combine(AppContext.BaseDirectory, "Storage", "Metadata", "Fixtures"), "metadata-*.sql");
        Assert.Equal(MetadataSchema.Steps.Count, fixtures.Length);
        var (withCommands, withUploads, withJobs, withConfigurations) = (0, 0, 0, 0);
        foreach (var fixture in fixtures)
        {
            File.Delete(_fixture.Path);
            Execute(File.ReadAllText(fixture));
            var format = int.Parse(Path.GetFileNameWithoutExtension(fixture).Split('-')[1], System.Globalization.CultureInfo.InvariantCulture);

            await using var metadata = await _fixture.OpenAsync();
            Assert.Matches(fixture.EndsWith("metadata-1.sql", StringComparison.Ordinal) ? "^[0-9a-f]{32}$" : "^00112233445566778899aabbccddeeff$", metadata.HubId);
            metadata.Read(tx =>
            {
                Assert.Equal((2, 1), metadata.Identities.CountDevices(tx));
                Assert.Equal(("cHJpbWFyeQ==", "c2Vjb25kYXJ5"), (metadata.Identities.Find(tx, "d1", "m1")!.PrimaryKey, metadata.Identities.Find(tx, "d1", "m1")!.SecondaryKey));
                Assert.Equal(new DateTimeOffset(2026, 1, 2, 12, 0, 0, TimeSpan.Zero), metadata.Identities.Find(tx, "d1", null)!.LastActivityTime);
                Assert.Equal(["ms-azure-iot-edge://p-1"], metadata.Identities.Find(tx, "d2", null)!.ParentScopes);
                Assert.Equal("cG9saWN5", metadata.Policies.Find(tx, "service")!.PrimaryKey);
                Assert.Equal([new("devices/d1/messages/devicebound/#", 1)], metadata.Subscriptions.Find(tx, "d1", null, "g1")!);
                Assert.Equal(42, metadata.Checkpoints.Find(tx, "group", "$Default")[3]);
                Assert.Equal("Host=h;Password=p", metadata.Connections.Find(tx, "warehouse")!.Secret);
                Assert.Equal(["d1", "d1/m1"], metadata.Identities.FindByCredential(tx, "c2Vjb25kYXJ5", 10).Select(found => found.ToString()).Order());
                Assert.Equal("d2", Assert.Single(metadata.Identities.FindByCredential(tx, "AA", 10)).DeviceId);
                Assert.Equal([1, 2, 3], Assert.Single(metadata.Outbox.Peek(tx, 10)).Message);
                if (format >= 4)
                    Assert.Equal(("plant-", RevocationCheck.HardFail, 1), (metadata.CertificateAuthorities.List(tx)[0].IdPrefix, metadata.CertificateAuthorities.List(tx)[0].Revocation, metadata.CertificateAuthorities.ListIntermediates(tx).Count));
                if (format >= 5)
                {
                    Assert.Equal(("d1", new DateTimeOffset(2026, 1, 2, 12, 0, 0, TimeSpan.Zero)), (metadata.Revocations.ListTokens(tx)[0].Subject, metadata.Revocations.ListTokens(tx)[0].AcceptedUntil));
                    Assert.Equal("g1", Assert.Single(metadata.Revocations.ListResets(tx)).GenerationId);
                }

                if (format >= 7)
                {
                    var policy = metadata.Policies.Find(tx, "service")!;
                    Assert.Equal(("plant- mill-", "$Default", new DateTimeOffset(639029530000000000, TimeSpan.Zero)), (policy.DevicePrefixes, policy.ConsumerGroups, policy.Expires));
                    Assert.Equal(new RightUseRecord("service", 2, new DateTimeOffset(639029520000000000, TimeSpan.Zero)), Assert.Single(metadata.Policies.ListUse(tx)));
                    Assert.Equal(new DateTimeOffset(639029510000000000, TimeSpan.Zero), metadata.Policies.UseRecordedSince(tx));
                }

                if (format >= 8)
                {
                    Assert.Equal([new("$Default", new(639029510000000000, TimeSpan.Zero)), new("Dashboards", new(639029520000000000, TimeSpan.Zero))], metadata.ConsumerGroups.List(tx));
                    Assert.Equal(17, metadata.Checkpoints.Find(tx, "consumer-group/DASHBOARDS", "nightly")[0]);
                }

                if (format >= 9)
                    Assert.Equal((string.Concat(Enumerable.Repeat("AB", 32)), true), (metadata.Policies.Find(tx, "service")!.CertificateThumbprint, metadata.Policies.Find(tx, "service")!.Disabled));

                // Identities from before have new twins.
                var twin = metadata.Twins.Find(tx, "d1", null)!;
                Assert.Equal(format >= 10 ? ("g1", 3L, 5L, "{\"site\":\"a\"}", 2L, 2L) : ("g1", 1, 2, "{}", 1, 1), (twin.GenerationId, twin.ETag, twin.Version, System.Text.Encoding.UTF8.GetString(twin.Tags), twin.Desired.Version, twin.Reported.Version));
                var reported = Sallyport.Protocol.Twins.TwinSection.Decode(twin.Reported.Json, twin.Reported.Stamps, twin.Reported.Version);
                Assert.Equal(twin.Reported.Version, reported.Root.Stamp.Version);
                Assert.Equal(format >= 10 ? new DateTime(639029520000000000, DateTimeKind.Utc) : reported.Root.Stamp.Time, reported.Root.Stamp.Time);
                Assert.NotNull(metadata.Twins.Find(tx, "d1", "m1"));

                if (metadata.RegistryJobs.List(tx, 10) is [var job])
                {
                    Assert.Equal((RegistryJobKind.Import, RegistryJobStatus.Completed, "policy:iothubowner", 3L), (job.Kind, job.Status, job.Creator, job.SettledLines));
                    Assert.Equal("""{"errorCode":409001}""", Assert.Single(metadata.RegistryJobs.ListErrors(tx, job.Id, 0, 10)).Text);
                }

                Assert.Equal("d2", Assert.Single(metadata.Scopes.ListChildren(tx, "ms-azure-iot-edge://p-1", null, 10)).DeviceId);

                if (metadata.Commands.Find(tx, 7) is { } command)
                {
                    Assert.Equal(("d1", "g1", "m", CommandAck.Full, 2), (command.DeviceId, command.GenerationId, command.MessageId, command.Ack, command.DeliveryCount));
                    Assert.Equal([0, 0x53, 0x75, 0xA0, 1, 1], command.Message);
                    Assert.Equal((DeadReason.Rejected, "dead"), (metadata.Commands.FindDead(tx, 5)!.Reason, metadata.Commands.FindDead(tx, 5)!.Command.MessageId));
                    Assert.Equal((3L, 1), (metadata.Feedback.ListBatches(tx, 0, 10)[0].Batch, metadata.Feedback.ListBatches(tx, 0, 10)[0].DeliveryCount));
                    Assert.Equal(("told", FeedbackStatus.Rejected), (metadata.Feedback.ListRecords(tx, 3)[0].MessageId, metadata.Feedback.ListRecords(tx, 3)[0].Status));
                    Assert.Equal(1, metadata.Feedback.Loose(tx).Count);
                    withCommands++;
                }

                if (metadata.Uploads.FindBlob(tx, "d1", "logs/a b.txt") is { } blob)
                {
                    Assert.Equal((4L, "m-00000002", 1234L, "text/plain"), (blob.Number, blob.Manifest, blob.Bytes, blob.ContentType));
                    Assert.Equal(UploadState.Done, metadata.Uploads.Find(tx, blob.UploadId)!.State);
                    Assert.Equal(((1L, 1234L), (1L, 1234L)), (metadata.Uploads.Use(tx, "d1"), metadata.Uploads.Use(tx, null)));
                    Assert.Equal(("d1/logs/a b.txt", 2), (metadata.FileNotifications.Find(tx, 6)!.BlobName, metadata.FileNotifications.Find(tx, 6)!.DeliveryCount));
                    withUploads++;
                }

                if (metadata.Jobs.Find(tx, "winter") is { } scheduled)
                {
                    Assert.Equal((4L, JobType.ScheduleDeviceMethod, JobStatus.Running, 2, 1, 1, "d1", "m1"), (scheduled.Sequence, scheduled.Type, scheduled.Status, scheduled.Devices, scheduled.Succeeded, scheduled.Pending, scheduled.ChosenDeviceId, scheduled.ChosenModuleId));
                    Assert.Equal(("g1", 200, "1"), (metadata.Jobs.FindDevice(tx, 4, "d1", "")!.GenerationId, metadata.Jobs.FindDevice(tx, 4, "d1", "")!.ResponseStatus, System.Text.Encoding.UTF8.GetString(metadata.Jobs.FindDevice(tx, 4, "d1", "")!.ResponsePayload!)));
                    Assert.Equal("m1", Assert.Single(metadata.Jobs.ListDevices(tx, 4, JobDeviceStatus.Pending, ("", ""), 10)).ModuleId);
                    withJobs++;
                }

                if (metadata.Configurations.Find(tx, "fast") is { } configuration)
                {
                    Assert.Equal((4L, 3L, "tags.site = 'a'", 10, "policy:service", 1086L), (configuration.Number, configuration.ETag, configuration.TargetCondition, configuration.Priority, configuration.Writer, configuration.WriterRights));
                    Assert.Equal((1L, "[\"a.b\"]"), (Assert.Single(metadata.Configurations.CountTwins(tx)).Count, System.Text.Encoding.UTF8.GetString(twin.Configured!)));
                    withConfigurations++;
                }

                // Every hub had it before it had a row.
                Assert.True(metadata.ConsumerGroups.Exists(tx, "$default"));
                return true;
            });
        }

        Assert.Equal([10, 12, 13, 14], from count in new[] { withCommands, withUploads, withJobs, withConfigurations } select MetadataSchema.Steps.Count - count);
    }

    private void Execute(string sql)
    {
        using var connection = new SqliteConnection($"Data Source={_fixture.Path};Pooling=False");
        connection.Open();
        using var command = connection.CreateCommand();
        command.CommandText = sql;
        command.ExecuteNonQuery();
    }

    private int Number(string sql)
    {
        using var connection = new SqliteConnection($"Data Source={_fixture.Path};Pooling=False");
        connection.Open();
        using var command = connection.CreateCommand();
        command.CommandText = sql;
        return Convert.ToInt32(command.ExecuteScalar());
    }
}
