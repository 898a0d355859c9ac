using Microsoft.Data.Sqlite;
using Sallyport.Services.Outgoing;
using Sallyport.Services.Sql;
using Sallyport.Tests.Storage;

namespace Sallyport.Tests.Services.Sql;

public sealed class SqliteTableTests : TelemetryTableContract, IDisposable
{
    private readonly TemporaryDirectory _directory = new();

    [Theory]
    [InlineData("Data Source=:memory:")]
    [InlineData("Data Source=file:x.db?mode=memory")]
    [InlineData("Data Source=|DataDirectory|/x.db")]
    [InlineData("Data Source=x.db;Mode=Memory")]
    [InlineData("Data Source=x.db;Password=p")]
    [InlineData("Data Source=")]
    public void ConnectionString_OtherThanAFile_IsRefused(string connectionString)
    {
        Assert.Throws<FormatException>(() => new SqliteTarget(connectionString, TableName.TryParse("telemetry")!, Files));
    }

    [Fact]
    public void Table_WithASchema_IsRefused()
    {
        Assert.Throws<FormatException>(() => new SqliteTarget("Data Source=x.db", TableName.TryParse("main.telemetry")!, Files));
    }

    [Fact]
    public async Task File_ThatIsNoDatabase_IsRefused()
    {
        await File.WriteAllTextAsync(_directory["telemetry.db"], "this is a text file, longer than nothing at all");

        var refused = await Assert.ThrowsAsync<TargetException>(() => OpenAsync(epoch: 1));

        Assert.True(refused.Refused);
    }

    public void Dispose() => _directory.Dispose();

    private SinkFiles Files => new(new OutgoingOptions { SinksDirectory = _directory.Path });

    private protected override ITelemetryTarget Target() => new SqliteTarget("Data Source=telemetry.db", TableName.TryParse("telemetry")!, Files);

    protected override Task ExecuteAsync(string sql) => QueryAsync(sql);

    protected override async Task<List<object?[]>> QueryAsync(string sql)
    {
        await using var connection = new SqliteConnection($"Data Source={_directory["telemetry.db"]};Pooling=false");
        await connection.OpenAsync();
        await using var command = connection.CreateCommand();
        command.CommandText = sql;
        await using var reader = await command.ExecuteReaderAsync();
        var rows = new List<object?[]>();
        while (await reader.ReadAsync())
        {
            var row = new object[reader.FieldCount];
            reader.GetValues(row);
            rows.Add([.. row.Select(value => value is DBNull ? null : value)]);
        }

        return rows;
    }
}
