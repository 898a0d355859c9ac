using System.Net;
using Sallyport.Services.Outgoing;
using Sallyport.Services.Sql;

namespace Sallyport.Tests.Services.Sql;

[Collection(PostgresTests.Name)]
public sealed class PostgresTableTests(PostgresCluster cluster) : TelemetryTableContract, IAsyncLifetime
{
    private readonly OutgoingOptions _options = new() { SinksDirectory = "/nonexistent", AllowLoopback = true };
    private string _connectionString = "";

    [Fact]
    public async Task Commit_ANumberThatJsonbCannotHold_IsRefusedAndWritesNothing()
    {
        await using var table = await OpenAsync(epoch: 1);
        var huge = Row(1) with { Body = "1e999999" };

        await Assert.ThrowsAsync<RowsRefusedException>(() => table.CommitAsync(new RowBatch(0, 0, 2, 0, [Row(0), huge]), Cancel));

        Assert.Equal(0, await CountAsync());
        Assert.Equal(2, await table.CommitAsync(new RowBatch(0, 0, 2, 0, [Row(0), huge.Plainer()!]), Cancel));
        Assert.Equal("1e999999", (await QueryAsync("SELECT body_text FROM telemetry WHERE sequence_number = 1"))[0][0]);
    }

    [Fact]
    public async Task Open_ATableWithoutTheKey_SaysSoAtTheFirstCommit()
    {
        await (await OpenAsync(epoch: 1)).DisposeAsync();
        await ExecuteAsync("ALTER TABLE telemetry DROP CONSTRAINT telemetry_pkey");
        await using var table = await OpenAsync(epoch: 1);

        var refused = await Assert.ThrowsAsync<TargetException>(() => table.CommitAsync(Batch(0, 0, 1), Cancel));

        Assert.True(refused.Refused);
        Assert.Contains("primary key", refused.Message);
    }

    [Fact]
    public async Task Open_InASchema_MakesBothTablesThere()
    {
        await ExecuteAsync("CREATE SCHEMA plant");
        var target = new PostgresTarget(_connectionString, TableName.TryParse("plant.Readings")!, _options, new OutgoingAddresses(_options));

        await using var table = await target.OpenAsync(new Ownership("hub", "c", "n", 1, [0]), Cancel);
        await table.CommitAsync(Batch(0, 0, 1), Cancel);

        Assert.Single(await QueryAsync("SELECT 1 FROM plant.\"Readings\", plant.sallyport_positions"));
    }

    [Fact]
    public async Task Open_WithRightsOnReadyMadeTablesOnly_Works()
    {
        await (await OpenAsync(epoch: 1)).DisposeAsync();
        var user = $"u{Guid.NewGuid():N}";
        await ExecuteAsync(
            $"CREATE ROLE {user} LOGIN PASSWORD 'p'; GRANT SELECT, INSERT ON telemetry TO {user}; GRANT SELECT, INSERT, UPDATE ON sallyport_positions TO {user};");
        var asUser = _connectionString.Replace("Username=sallyport;Password=test-only", $"Username={user};Password=p", StringComparison.Ordinal);
        var target = new PostgresTarget(asUser, TableName.TryParse("telemetry")!, _options, new OutgoingAddresses(_options));

        await target.TestAsync(Cancel);
        await using var table = await target.OpenAsync(new Ownership("hub", "c", "n", 2, [0]), Cancel);

        Assert.Equal(1, await table.CommitAsync(Batch(0, 0, 1), Cancel));
    }

    [Fact]
    public async Task Test_WithoutTheRightToInsert_SaysSo()
    {
        await (await OpenAsync(epoch: 1)).DisposeAsync();
        var user = $"u{Guid.NewGuid():N}";
        await ExecuteAsync($"CREATE ROLE {user} LOGIN PASSWORD 'p'; GRANT SELECT ON telemetry TO {user}; GRANT SELECT, INSERT, UPDATE ON sallyport_positions TO {user};");
        var asUser = _connectionString.Replace("Username=sallyport;Password=test-only", $"Username={user};Password=p", StringComparison.Ordinal);
        var target = new PostgresTarget(asUser, TableName.TryParse("telemetry")!, _options, new OutgoingAddresses(_options));

        var refused = await Assert.ThrowsAsync<TargetException>(() => target.TestAsync(Cancel));

        Assert.Contains("permission denied for table telemetry", refused.Message);
    }

    [Fact]
    public async Task Open_WithAWrongPassword_IsRefusedWithoutPrintingIt()
    {
        var target = new PostgresTarget(
            _connectionString.Replace("test-only", "wr0ng", StringComparison.Ordinal), TableName.TryParse("telemetry")!, _options, new OutgoingAddresses(_options));

        var refused = await Assert.ThrowsAsync<TargetException>(() => target.TestAsync(Cancel));

        Assert.True(refused.Refused);
        Assert.DoesNotContain("wr0ng", refused.ToString());
        Assert.DoesNotContain("wr0ng", target.Description);
    }

    [Fact]
    public async Task Tls_OfATrustedRootAndTheRightName_IsTaken()
    {
        await Named(PostgresCluster.TlsName, cluster.RootsFile).TestAsync(Cancel);
    }

    [Fact]
    public async Task Tls_OfAnotherName_IsRefused()
    {
        var refused = await Assert.ThrowsAsync<TargetException>(() => Named("other.example.test", cluster.RootsFile).TestAsync(Cancel));

        Assert.True(refused.Refused);
        Assert.Contains("TLS", refused.Message);
    }

    [Fact]
    public async Task Tls_OfARootThatIsNotTrusted_IsRefused()
    {
        var refused = await Assert.ThrowsAsync<TargetException>(() => Named(PostgresCluster.TlsName, roots: null).TestAsync(Cancel));

        Assert.True(refused.Refused);
        Assert.Contains("TLS", refused.Message);
    }

    [Fact]
    public async Task Loopback_NotAllowed_IsRefusedBeforeAnythingIsSent()
    {
        var options = _options with { AllowLoopback = false };
        var target = new PostgresTarget(_connectionString, TableName.TryParse("telemetry")!, options, new OutgoingAddresses(options));

        var refused = await Assert.ThrowsAsync<TargetException>(() => target.TestAsync(Cancel));

        Assert.Contains("loopback", refused.Message);
    }

    public async ValueTask InitializeAsync() => _connectionString = await cluster.CreateDatabaseAsync();

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    private protected override ITelemetryTarget Target() =>
        new PostgresTarget(_connectionString, TableName.TryParse("telemetry")!, _options, new OutgoingAddresses(_options));

    protected override Task ExecuteAsync(string sql) => PostgresCluster.ExecuteAsync(_connectionString, sql);

    protected override Task<List<object?[]>> QueryAsync(string sql) => PostgresCluster.QueryAsync(_connectionString, sql);

    /// <summary>The server under another name, with TLS demanded as for a server on another machine.</summary>
    private PostgresTarget Named(string name, string? roots)
    {
        var options = _options with { RootsFile = roots };
        var connectionString = _connectionString.Replace("Host=127.0.0.1", $"Host={name};SSL Mode=VerifyFull", StringComparison.Ordinal);
        return new PostgresTarget(
            connectionString, TableName.TryParse("telemetry")!, options, new OutgoingAddresses(options, (_, _) => Task.FromResult(new[] { IPAddress.Loopback })));
    }
}
