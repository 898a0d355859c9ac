using System.Net;
using System.Text;
using System.Text.Json.Nodes;
using Microsoft.Data.Sqlite;
using Sallyport.Client.Device;
using Sallyport.Client.Service;
using Sallyport.Tests.Services.Connections;

namespace Sallyport.Tests.Executable.Connections;

/// <summary>Connections as a client of a whole hub sees them.</summary>
public sealed class ConnectionRoutesTests : IAsyncLifetime
{
    private readonly string _name = $"c{Guid.NewGuid():N}";
    private TestHub _hub = null!;
    private ServiceClient _owner = null!;

    [Fact]
    public async Task Telemetry_OfADevice_ArrivesInTheTable()
    {
        var device = await _owner.PutDeviceAsync("d1");
        var created = await _owner.PutConnectionAsync(_name, Sqlite());
        using var watch = new CommitWatch(_name);
        await using (var client = new DeviceClient(
            $"HostName=localhost;DeviceId=d1;SharedAccessKey={device["authentication"]!["symmetricKey"]!["primaryKey"]}",
            new DeviceClientOptions { Port = _hub.Endpoints.MqttsPort!.Value, CaFile = _hub.Endpoints.CaFile }))
        {
            for (var i = 0; i < 3; i++)
                await client.SendAsync(new TelemetryMessage(Encoding.UTF8.GetBytes($$"""{"n":{{i}}}""")) { ContentType = "application/json", ContentEncoding = "utf-8" });
        }

        await watch.UntilAsync(() => Rows().Count == 3);

        Assert.Equal("earliest", (string?)created["from"]);
        Assert.Equal([("d1", """{"n":0}"""), ("d1", """{"n":1}"""), ("d1", """{"n":2}""")], Rows());
        var shown = await _owner.GetConnectionAsync(_name);
        Assert.Equal("running", (string?)shown["status"]!["state"]);
        Assert.Equal(3, (long)shown["status"]!["rowsWritten"]!);
        Assert.Equal(0, shown["status"]!["behind"]!.AsArray().Sum(lag => (long)lag!["records"]!));
    }

    [Fact]
    public async Task Answers_NeverHoldTheConnectionString()
    {
        var secret = new JsonObject { ["kind"] = "sql", ["connectionString"] = "Host=127.0.0.1;Port=1;Username=u;Password=s3cret" };

        var answers = new StringBuilder();
        answers.Append((await _owner.PutConnectionAsync(_name, secret)).ToJsonString());
        answers.Append((await _owner.GetConnectionAsync(_name)).ToJsonString());
        answers.Append((await _owner.ListConnectionsAsync()).ToJsonString());
        answers.Append((await _owner.TestConnectionAsync(_name)).ToJsonString());
        answers.Append((await _owner.PauseConnectionAsync(_name)).ToJsonString());
        answers.Append((await _owner.ResumeConnectionAsync(_name)).ToJsonString());

        Assert.DoesNotContain("s3cret", answers.ToString());
        Assert.Contains("PostgreSQL 127.0.0.1:1", answers.ToString());
        Assert.DoesNotContain("s3cret", Audit());
    }

    [Fact]
    public async Task Acts_AreInTheAuditTrail()
    {
        await _owner.PutConnectionAsync(_name, Sqlite());
        await _owner.PauseConnectionAsync(_name);
        Assert.Equal("paused", (string?)(await _owner.GetConnectionAsync(_name))["status"]!["state"]);
        await _owner.ResumeConnectionAsync(_name);
        Assert.True((bool)(await _owner.TestConnectionAsync(_name))["ok"]!);
        await _owner.DeleteConnectionAsync(_name);

        Assert.Empty(await _owner.ListConnectionsAsync());
        var audit = Audit();
        foreach (var act in (string[])["put", "pause", "resume", "test", "delete"])
            Assert.Contains($"connection {act}", audit);
    }

    [Fact]
    public async Task Put_LeavingOutWhatStays_ReplacesTheConnectionString()
    {
        await _owner.PutConnectionAsync(_name, Sqlite(table: "readings", from: "latest"));

        var changed = await _owner.PutConnectionAsync(_name, new JsonObject { ["connectionString"] = "Data Source=other.db" });

        Assert.Equal(("SQLite other.db, table readings", "latest"), ((string?)changed["target"], (string?)changed["from"]));
    }

    [Theory]
    [InlineData("""{"kind":"kafka","connectionString":"Data Source=a.db"}""", HttpStatusCode.BadRequest)]
    [InlineData("""{"connectionString":"Data Source=a.db","from":"yesterday"}""", HttpStatusCode.BadRequest)]
    [InlineData("""{"connectionString":"Data Source=a.db","tabel":"s3cret"}""", HttpStatusCode.BadRequest)]
    [InlineData("""{"connectionString":{"s3cret":1}}""", HttpStatusCode.BadRequest)]
    [InlineData("""{}""", HttpStatusCode.BadRequest)]
    public async Task Put_WithABodyThatIsNotRight_IsRefusedWithoutRepeatingIt(string body, HttpStatusCode status)
    {
        var refused = await Assert.ThrowsAsync<ServiceException>(() => _owner.PutConnectionAsync(_name, JsonNode.Parse(body)!.AsObject()));

        Assert.Equal(status, refused.Status);
        Assert.DoesNotContain("s3cret", refused.Message);
    }

    [Fact]
    public async Task Caller_WithoutTheRight_GetsNowhere()
    {
        using var service = Client(_hub.Endpoints.ServiceConnectionString!);

        foreach (var call in (Func<Task>[])[
            () => service.ListConnectionsAsync(), () => service.GetConnectionAsync(_name), () => service.PutConnectionAsync(_name, Sqlite()),
            () => service.DeleteConnectionAsync(_name), () => service.PauseConnectionAsync(_name), () => service.TestConnectionAsync(_name)])
        {
            Assert.Equal("IotHubUnauthorizedAccess", (await Assert.ThrowsAsync<ServiceException>(call)).ErrorCode);
        }
    }

    [Fact]
    public async Task Caller_WhoMayNotReadTelemetry_CannotHaveAConnectionReadIt()
    {
        var policy = await _owner.PutPolicyAsync("connector", new JsonObject { ["rights"] = "connection-manage" });
        using var connector = Client($"HostName=localhost;SharedAccessKeyName=connector;SharedAccessKey={policy["primaryKey"]}");

        var refused = await Assert.ThrowsAsync<ServiceException>(() => connector.PutConnectionAsync(_name, Sqlite()));

        Assert.Equal("IotHubUnauthorizedAccess", refused.ErrorCode);
        Assert.Empty(await _owner.ListConnectionsAsync());
    }

    [Fact]
    public async Task Connection_ThatIsNotThere_IsNotFound()
    {
        var missing = await Assert.ThrowsAsync<ServiceException>(() => _owner.PauseConnectionAsync(_name));

        Assert.Equal(HttpStatusCode.NotFound, missing.Status);
    }

    public async ValueTask InitializeAsync()
    {
        _hub = await TestHub.StartAsync();
        _owner = Client(_hub.Endpoints.OwnerConnectionString!);
    }

    public ValueTask DisposeAsync()
    {
        _owner.Dispose();
        return _hub.DisposeAsync();
    }

    private static JsonObject Sqlite(string table = "telemetry", string? from = null)
    {
        var connection = new JsonObject { ["kind"] = "sql", ["connectionString"] = "Data Source=telemetry.db", ["table"] = table };
        if (from is not null)
            connection["from"] = from;
        return connection;
    }

    private ServiceClient Client(string connectionString) =>
        new(connectionString, new ServiceClientOptions { Port = _hub.Endpoints.HttpsPort, CaFile = _hub.Endpoints.CaFile });

    private List<(string Device, string Body)> Rows()
    {
        using var connection = new SqliteConnection($"Data Source={Path.Combine(_hub.Data, "sinks", "telemetry.db")};Pooling=false");
        connection.Open();
        using var command = connection.CreateCommand();
        command.CommandText = "SELECT 1 FROM sqlite_schema WHERE name = 'telemetry'";
        if (command.ExecuteScalar() is null)
            return []; // The connection has not made it yet.

        command.CommandText = "SELECT device_id, body FROM telemetry ORDER BY sequence_number";
        using var rows = command.ExecuteReader();
        var found = new List<(string, string)>();
        while (rows.Read())
            found.Add((rows.GetString(0), rows.GetString(1)));
        return found;
    }

    private string Audit() => string.Concat(Directory.GetFiles(Path.Combine(_hub.Data, "audit")).Select(ReadShared));

    private static string ReadShared(string path)
    {
        using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
        using var text = new StreamReader(file);
        return text.ReadToEnd();
    }
}
