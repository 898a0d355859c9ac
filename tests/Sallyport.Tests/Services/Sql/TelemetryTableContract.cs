using Sallyport.Services.Outgoing;
using Sallyport.Services.Sql;

namespace Sallyport.Tests.Services.Sql;

/// <summary>What both databases must do alike.</summary>
public abstract class TelemetryTableContract
{
    private protected static readonly DateTimeOffset Noon = new(2026, 1, 2, 12, 0, 0, 345, TimeSpan.Zero);

    private protected static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Open_FirstTime_BeginsAtTheGivenStart()
    {
        await using var table = await OpenAsync(epoch: 1, start: [7, 0]);

        Assert.Equal([new TablePosition(7, 0), new TablePosition(0, 0)], table.Positions);
    }

    [Fact]
    public async Task Commit_ARow_FillsEveryColumn()
    {
        await using var table = await OpenAsync(epoch: 1);
        var row = Row(5) with
        {
            ModuleId = "m1",
            MessageId = "mid",
            CorrelationId = "cid",
            ContentType = "application/json",
            ContentEncoding = "utf-8",
            Properties = """{"alert":"no"}""",
            SystemProperties = """{"iothub-message-source":"Telemetry"}""",
            Body = """{"t":21.5}""",
        };

        Assert.Equal(1, await table.CommitAsync(new RowBatch(1, 0, 6, 5, [row]), Cancel));

        var stored = Assert.Single(await QueryAsync(
            """
            SELECT hub_id, "partition", sequence_number, "offset", device_id, module_id, message_id, correlation_id, content_type, content_encoding,
            CAST(properties AS text), CAST(system_properties AS text), CAST(body AS text), body_text, body_bytes, raw_message FROM telemetry
            """));
        Assert.Equal(
            ["hub", 1L, 5L, "00000000000000000005", "d1", "m1", "mid", "cid", "application/json", "utf-8"],
            stored.Take(10).Select(value => value is int number ? (long)number : value));
        Assert.Equal("""{"alert":"no"}""", ((string)stored[10]!).Replace(" ", "", StringComparison.Ordinal));
        Assert.Equal("""{"iothub-message-source":"Telemetry"}""", ((string)stored[11]!).Replace(" ", "", StringComparison.Ordinal));
        Assert.Equal("""{"t":21.5}""", ((string)stored[12]!).Replace(" ", "", StringComparison.Ordinal));
        Assert.Equal([null, null, null], stored.Skip(13));
        var time = Assert.Single(await QueryAsync("SELECT enqueued_time FROM telemetry"))[0]!;
        Assert.Equal(Noon.AddSeconds(5).UtcDateTime, time is DateTime stamp ? stamp : DateTimeOffset.Parse((string)time).UtcDateTime);
    }

    [Fact]
    public async Task Commit_OtherBodies_GoIntoTheirColumns()
    {
        await using var table = await OpenAsync(epoch: 1);

        await table.CommitAsync(new RowBatch(0, 0, 3, 0, [Row(0) with { BodyText = "héllo" }, Row(1) with { BodyBytes = [0, 255] }, Row(2).AsRaw()]), Cancel);

        var rows = await QueryAsync("SELECT body_text, body_bytes, raw_message FROM telemetry ORDER BY sequence_number");
        Assert.Equal("héllo", rows[0][0]);
        Assert.Equal(new byte[] { 0, 255 }, rows[1][1]);
        Assert.Equal("stored 2"u8.ToArray(), rows[2][2]);
    }

    [Fact]
    public async Task Open_AfterACommit_GoesOnBehindIt()
    {
        await using (var table = await OpenAsync(epoch: 1))
            await table.CommitAsync(Batch(0, 0, 3) with { Skipped = 2 }, Cancel);

        await using var again = await OpenAsync(epoch: 2);

        Assert.Equal([new TablePosition(3, 2), new TablePosition(0, 0)], again.Positions);
    }

    [Fact]
    public async Task Commit_RowsThatAreThere_LeavesThem()
    {
        await using (var table = await OpenAsync(epoch: 1))
            await table.CommitAsync(Batch(0, 0, 3), Cancel);

        await using var other = await OpenAsync(epoch: 1, connection: "another");

        Assert.Equal(1, await other.CommitAsync(Batch(0, 0, 4), Cancel));
        Assert.Equal(4, await CountAsync());
    }

    [Fact]
    public async Task Commit_RowsOfAnotherHub_AreKeptApart()
    {
        await using var one = await OpenAsync(epoch: 1);
        await one.CommitAsync(Batch(0, 0, 3), Cancel);
        await one.DisposeAsync();
        await using var other = await OpenAsync(epoch: 1, connection: "another", hub: "other hub");

        Assert.Equal(3, await other.CommitAsync(Batch(0, 0, 3), Cancel));
    }

    [Fact]
    public async Task Commit_ByAnOwnerThatWasReplaced_WritesNothing()
    {
        await using var old = await OpenAsync(epoch: 1);
        await using var young = await OpenAsync(epoch: 2);

        var lost = await Assert.ThrowsAsync<PositionLostException>(() => old.CommitAsync(Batch(0, 0, 3), Cancel));

        Assert.Contains("owner 2", lost.Message);
        Assert.Equal(0, await CountAsync());
        Assert.Equal(3, await young.CommitAsync(Batch(0, 0, 3), Cancel));
    }

    [Fact]
    public async Task Open_WithALowerEpoch_IsRefused()
    {
        await using var young = await OpenAsync(epoch: 2);

        await Assert.ThrowsAsync<PositionLostException>(() => OpenAsync(epoch: 1));
    }

    [Fact]
    public async Task Commit_FromAnotherPosition_WritesNothing()
    {
        await using var table = await OpenAsync(epoch: 1);

        var changed = await Assert.ThrowsAsync<TargetException>(() => table.CommitAsync(Batch(0, 1, 3), Cancel));

        Assert.False(changed.Refused);
        Assert.Equal(0, await CountAsync());
    }

    [Fact]
    public async Task Open_ATableWithOtherColumns_SaysWhich()
    {
        await ExecuteAsync("CREATE TABLE telemetry (hub_id integer, device_id text)");

        var refused = await Assert.ThrowsAsync<TargetException>(() => OpenAsync(epoch: 1));

        Assert.True(refused.Refused);
        Assert.Contains("lacks partition, sequence_number", refused.Message);
    }

    [Fact]
    public async Task Open_ATableWithAColumnOfAnotherType_SaysWhich()
    {
        await (await OpenAsync(epoch: 1)).DisposeAsync();
        await ExecuteAsync("ALTER TABLE telemetry RENAME COLUMN device_id TO was_device_id");
        await ExecuteAsync("ALTER TABLE telemetry ADD COLUMN device_id integer");

        var refused = await Assert.ThrowsAsync<TargetException>(() => OpenAsync(epoch: 1));

        Assert.Contains("device_id is integer instead of text", refused.Message, StringComparison.OrdinalIgnoreCase);
    }

    [Fact]
    public async Task Open_ATableWithMoreColumns_IsFine()
    {
        await (await OpenAsync(epoch: 1)).DisposeAsync();
        await ExecuteAsync("ALTER TABLE telemetry ADD COLUMN note text");

        await using var table = await OpenAsync(epoch: 1);

        Assert.Equal(1, await table.CommitAsync(Batch(0, 0, 1), Cancel));
    }

    [Fact]
    public async Task Commit_ATableThatWasDropped_FailsAndIsMadeAgainByOpening()
    {
        await using (var table = await OpenAsync(epoch: 1))
        {
            await table.CommitAsync(Batch(0, 0, 3), Cancel);
            await ExecuteAsync("DROP TABLE telemetry");
            await Assert.ThrowsAsync<TargetException>(() => table.CommitAsync(Batch(0, 3, 5), Cancel));
        }

        await using var again = await OpenAsync(epoch: 1);

        Assert.Equal(3, again.Positions[0].Next);
        Assert.Equal(2, await again.CommitAsync(Batch(0, 3, 5), Cancel));
    }

    [Fact]
    public async Task Test_AGoodTarget_LeavesNothingBehind()
    {
        await Target().TestAsync(Cancel);

        await using var table = await OpenAsync(epoch: 1);
        Assert.Equal(2L, Convert.ToInt64((await QueryAsync("SELECT count(*) FROM sallyport_positions"))[0][0]));
    }

    [Fact]
    public async Task Test_ATableWithOtherColumns_SaysWhich()
    {
        await ExecuteAsync("CREATE TABLE telemetry (hub_id text)");

        var refused = await Assert.ThrowsAsync<TargetException>(() => Target().TestAsync(Cancel));

        Assert.Contains("lacks partition", refused.Message);
    }

    private protected abstract ITelemetryTarget Target();

    protected abstract Task ExecuteAsync(string sql);

    protected abstract Task<List<object?[]>> QueryAsync(string sql);

    private protected Task<ITelemetryTable> OpenAsync(long epoch, long[]? start = null, string connection = "connection", string hub = "hub") =>
        Target().OpenAsync(new Ownership(hub, connection, "name", epoch, start ?? [0, 0]), Cancel);

    protected async Task<long> CountAsync() => Convert.ToInt64((await QueryAsync("SELECT count(*) FROM telemetry"))[0][0]);

    private protected static TelemetryRow Row(long sequence) => new()
    {
        Sequence = sequence,
        EnqueuedTime = Noon.AddSeconds(sequence),
        DeviceId = "d1",
        Stored = System.Text.Encoding.UTF8.GetBytes($"stored {sequence}"),
    };

    private protected static RowBatch Batch(int partition, long from, long next) =>
        new(partition, from, next, 0, [.. Enumerable.Range(0, (int)(next - from)).Select(i => Row(from + i))]);
}
