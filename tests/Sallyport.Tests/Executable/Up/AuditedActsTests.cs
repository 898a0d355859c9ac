using System.Net;
using System.Text.Json.Nodes;
using Microsoft.Data.Sqlite;
using Sallyport.Client.Service;
using Sallyport.Hub.Audit;

namespace Sallyport.Tests.Executable.Up;

/// <summary>
/// Every route of the composed hub that changes something, while its audit trail cannot be written: each refuses, and nothing has
/// changed. A route that comes later is tried as well, with an empty body; give it a row when it needs another one.
/// </summary>
public sealed class AuditedActsTests
{
    // Not acts of management: what devices and readers do, and questions that are asked with a body.
    private static readonly string[] NoActs =
    [
        "POST /devices/{id}/messages/events", "PUT /manage/v1/checkpoints/{consumerGroup}/{name}", "POST /manage/v1/audit/verify", "POST /manage/v1/tokens/explain", "POST /devices/query", "POST /configurations/testQueries", "POST /manage/v1/token/explain",
    ];

    private static readonly Dictionary<string, (string Path, string? Body)> Acts = new()
    {
        ["PUT /devices/{id}"] = ("devices/new", """{"deviceId":"new"}"""),
        ["DELETE /devices/{id}"] = ("devices/d1", null),
        ["PUT /devices/{id}/modules/{moduleId}"] = ("devices/d1/modules/new", """{"deviceId":"d1","moduleId":"new"}"""),
        ["DELETE /devices/{id}/modules/{moduleId}"] = ("devices/d1/modules/m1", null),
        ["POST /jobs/create"] = ("jobs/create", """{"type":"export","outputBlobContainerUri":"http://127.0.0.1:9/c?sig=s"}"""),
        ["POST /devices"] = ("devices", """[{"id":"d1","importMode":"delete"},{"id":"new","importMode":"create"}]"""),
        ["POST /devices/keys/regenerate"] = ("devices/keys/regenerate", """{"policyKey":"primary","devices":[{"id":"d1"}]}"""),
        ["PATCH /twins/{id}"] = ("twins/d1", """{"tags":{"a":1}}"""),
        ["PUT /twins/{id}"] = ("twins/d1", """{"tags":{"a":1}}"""),
        ["PATCH /twins/{id}/modules/{moduleId}"] = ("twins/d1/modules/m1", """{"tags":{"a":1}}"""),
        ["PUT /twins/{id}/modules/{moduleId}"] = ("twins/d1/modules/m1", """{"tags":{"a":1}}"""),
        ["POST /twins/{id}/methods"] = ("twins/d1/methods", """{"methodName":"reboot"}"""),
        ["POST /twins/{id}/modules/{moduleId}/methods"] = ("twins/d1/modules/m1/methods", """{"methodName":"reboot"}"""),
        ["PATCH /digitaltwins/{id}"] = ("digitaltwins/d1", """[{"op":"add","path":"/a","value":1}]"""),
        ["POST /digitaltwins/{id}/commands/{command}"] = ("digitaltwins/d1/commands/reboot", "{}"),
        ["POST /digitaltwins/{id}/components/{component}/commands/{command}"] = ("digitaltwins/d1/components/t1/commands/reboot", "{}"),
        ["PUT /configurations/{name}"] = ("configurations/new", """{"content":{"deviceContent":{"properties.desired.a":1}},"targetCondition":"*"}"""),
        ["DELETE /configurations/{name}"] = ("configurations/none", null),
        ["POST /devices/{id}/applyConfigurationContent"] = ("devices/d1/applyConfigurationContent", """{"deviceContent":{"properties.desired.a":1}}"""),
        ["PUT /manage/v1/policies/{name}"] = ("manage/v1/policies/new", """{"rights":"twin-read"}"""),
        ["DELETE /manage/v1/policies/{name}"] = ("manage/v1/policies/device", null),
        ["POST /manage/v1/policies/{name}/renew-key"] = ("manage/v1/policies/device/renew-key", """{"key":"primary"}"""),
        ["PUT /manage/v1/operators/{name}"] = ("manage/v1/operators/new", """{"rights":"twin-read"}"""),
        ["PATCH /manage/v1/operators/{name}"] = ("manage/v1/operators/o1", """{"status":"disabled"}"""),
        ["POST /manage/v1/operators/{name}/renew"] = ("manage/v1/operators/o1/renew", "{}"),
        ["DELETE /manage/v1/operators/{name}"] = ("manage/v1/operators/o1", null),
        ["PATCH /manage/v1/policies/{name}"] = ("manage/v1/policies/device", """{"rights":"twin-read"}"""),
        ["PUT /manage/v1/connections/{name}"] = ("manage/v1/connections/new", """{"kind":"sql","connectionString":"Data Source=new.db"}"""),
        ["DELETE /manage/v1/connections/{name}"] = ("manage/v1/connections/c1", null),
        ["POST /manage/v1/connections/{name}/pause"] = ("manage/v1/connections/c1/pause", null),
        ["POST /manage/v1/connections/{name}/resume"] = ("manage/v1/connections/c1/resume", null),
        ["POST /manage/v1/connections/{name}/test"] = ("manage/v1/connections/c1/test", null),
        ["PUT /manage/v1/consumer-groups/{name}"] = ("manage/v1/consumer-groups/new", null),
        ["DELETE /manage/v1/consumer-groups/{name}"] = ("manage/v1/consumer-groups/g1", null),
        ["POST /manage/v1/devices/{id}/commands"] = ("manage/v1/devices/d1/commands", "{}"),
        ["POST /manage/v1/devices/{id}/commands/receive"] = ("manage/v1/devices/d1/commands/receive", null),
        ["DELETE /devices/{id}/commands"] = ("devices/d1/commands", null),
        ["PUT /jobs/v2/{jobId}"] = ("jobs/v2/new", """{"type":"scheduleUpdateTwin","queryCondition":"*","updateTwin":{"tags":{"a":1}}}"""),
        ["POST /jobs/v2/{jobId}/cancel"] = ("jobs/v2/j1/cancel", null),
        ["POST /manage/v1/devices/{id}/files/read"] = ("manage/v1/devices/d1/files/read", """{"blobName":"a"}"""),
        ["DELETE /manage/v1/devices/{id}/files"] = ("manage/v1/devices/d1/files?name=a", null),
        ["DELETE /manage/v1/checkpoints/{consumerGroup}/{name}"] = ("manage/v1/checkpoints/$Default/reader", null),
    };

    private static readonly string[] PrivilegedReads =
    [
        "devices", "devices/d1", "devices/d1/modules", "devices/d1/modules/m1", "manage/v1/policies", "manage/v1/policies/device",
        "manage/v1/connections", "manage/v1/connections/c1", "manage/v1/audit", "manage/v1/audit/export", "manage/v1/audit/anchor",
    ];

    [Fact]
    public async Task Act_WhileTheTrailCannotBeWritten_IsRefused_AndNothingHasChanged()
    {
        var trail = new BreakableTrail();
        await using var hub = await TestHub.StartAsync(guardTrail: trail.Around);
        using var owner = hub.Owner();
        await FillAsync(owner);
        var routes = await MutationsAsync(owner);
        Assert.Empty(Acts.Keys.Except(routes));
        var before = Dump(hub.Data);

        trail.IsBroken = true;
        var done = new List<string>();
        foreach (var route in routes.Except(NoActs))
        {
            var (method, pattern) = (route[..route.IndexOf(' ', StringComparison.Ordinal)], route[(route.IndexOf(' ', StringComparison.Ordinal) + 2)..]);
            var (path, body) = Acts.GetValueOrDefault(route, (pattern.Replace("{", "", StringComparison.Ordinal).Replace("}", "", StringComparison.Ordinal), "{}"));
            var status = await StatusAsync(owner, new HttpMethod(method), path, body);
            if ((int)status < 300 || (Acts.ContainsKey(route) && status != HttpStatusCode.ServiceUnavailable))
                done.Add($"{route}: {(int)status}");
        }

        Assert.Empty(done);
        Assert.Equal(before, Dump(hub.Data));
    }

    [Fact]
    public async Task PrivilegedRead_WhileTheTrailCannotBeWritten_IsRefused()
    {
        var trail = new BreakableTrail();
        await using var hub = await TestHub.StartAsync(guardTrail: trail.Around);
        using var owner = hub.Owner();
        await FillAsync(owner);

        trail.IsBroken = true;
        var answered = new List<string>();
        foreach (var path in PrivilegedReads)
        {
            if (await StatusAsync(owner, HttpMethod.Get, path, null) is not HttpStatusCode.ServiceUnavailable and var status)
                answered.Add($"{path}: {(int)status}");
        }

        Assert.Empty(answered);
    }

    [Fact]
    public async Task Act_Done_IsInTheTrailWithEverything()
    {
        await using var hub = await TestHub.StartAsync();
        using var owner = hub.Owner();
        await FillAsync(owner);
        await owner.SendAsync(HttpMethod.Delete, "manage/v1/checkpoints/$Default/reader");
        await owner.GetDeviceAsync("d1");

        var entries = (await owner.SendAsync(HttpMethod.Get, "manage/v1/audit?top=100"))!["entries"]!.AsArray();

        foreach (var (action, target) in new[] { ("device create", "d1"), ("module create", "d1/m1"), ("connection put", "c1"), ("consumer-group create", "g1"), ("checkpoint delete", "$Default/reader"), ("device read-keys", "d1"), ("audit list", "all") })
        {
            var entry = entries.First(entry => entry!["action"]!.GetValue<string>() == action && entry["target"]!.GetValue<string>() == target)!;
            Assert.Equal("policy:iothubowner", entry["principal"]!.GetValue<string>());
            Assert.Equal("done", entry["result"]!.GetValue<string>());
            Assert.NotEmpty(entry["credential"]!.GetValue<string>());
            Assert.Equal(32, entry["correlationId"]!.GetValue<string>().Length);
            Assert.StartsWith("127.0.0.1:", entry["peer"]!.GetValue<string>(), StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Hub_StartedAndStopped_IsInTheTrail_InThatOrder()
    {
        await using var hub = await TestHub.StartAsync();
        await hub.RestartAsync();
        await hub.StopAsync();

        var actions = File.ReadLines(Path.Combine(hub.Data, "audit", "audit-00000001.jsonl")).Skip(1).Select(line => JsonNode.Parse(line)!["action"]!.GetValue<string>()).ToList();
        Assert.Equal(["hub start", "hub stop", "hub start", "hub stop"], actions.Where(action => action.StartsWith("hub ", StringComparison.Ordinal)));
        Assert.Equal("hub stop", actions[^1]);
    }

    [Fact]
    public async Task Handshake_ThatIsNotFinished_IsInTheTrail_CountedByAddress()
    {
        var trail = new BreakableTrail();
        await using var hub = await TestHub.StartAsync(guardTrail: trail.Around);
        for (var i = 0; i < 3; i++)
        {
            using var socket = new System.Net.Sockets.TcpClient();
            await socket.ConnectAsync("127.0.0.1", hub.Endpoints.HttpsPort, TestContext.Current.CancellationToken);
            await socket.GetStream().WriteAsync("GET / HTTP/1.1\r\n\r\n"u8.ToArray(), TestContext.Current.CancellationToken);
            while (await socket.GetStream().ReadAsync(new byte[100], TestContext.Current.CancellationToken) > 0)
            {
                // An alert, then the end.
            }
        }

        await hub.StopAsync();

        var noted = trail.Noted.Where(entry => entry.Action == "tls handshake").ToList();
        Assert.Equal(3, noted.Count);
        Assert.All(noted, entry => Assert.Equal(("anonymous", "127.0.0.1", "refused", ""), (entry.Principal, entry.Target, entry.Result, entry.CorrelationId)));
        var lines = File.ReadLines(Path.Combine(hub.Data, "audit", "audit-00000001.jsonl")).Where(line => line.Contains("tls handshake", StringComparison.Ordinal)).ToList();
        Assert.Equal([1, 2], lines.Select(line => JsonNode.Parse(line)!["count"]!.GetValue<int>()));
    }

    private static async Task FillAsync(ServiceClient owner)
    {
        await owner.PutDeviceAsync("d1");
        await owner.PutModuleAsync("d1", "m1");
        await owner.PutConnectionAsync("c1", new JsonObject { ["kind"] = "sql", ["connectionString"] = "Data Source=c1.db" });
        await owner.PauseConnectionAsync("c1");
        await owner.CreateConsumerGroupAsync("g1");
        await owner.CreateJobAsync("j1", JsonNode.Parse($$"""{"type":"scheduleUpdateTwin","queryCondition":"*","updateTwin":{"tags":{"a":1} },"startTime":"{{DateTime.UtcNow.AddDays(1):O}}"}""")!.AsObject());
        await owner.SendAsync(HttpMethod.Put, "configurations/none", JsonNode.Parse("""{"content":{"deviceContent":{"properties.desired.a":1}}}"""));
        await owner.SendAsync(HttpMethod.Put, "manage/v1/operators/o1", new JsonObject { ["rights"] = "twin-read" });
        await owner.SendAsync(HttpMethod.Put, "manage/v1/checkpoints/$Default/reader", new JsonObject { ["positions"] = new JsonObject { ["0"] = 1 } });
    }

    private static async Task<List<string>> MutationsAsync(ServiceClient owner)
    {
        var paths = (await owner.SendAsync(HttpMethod.Get, "manage/v1/openapi.json"))!["paths"]!.AsObject();
        return [.. paths.SelectMany(path => path.Value!.AsObject().Where(verb => verb.Key != "get").Select(verb => $"{verb.Key.ToUpperInvariant()} {path.Key}"))];
    }

    private static async Task<HttpStatusCode> StatusAsync(ServiceClient owner, HttpMethod method, string path, string? body)
    {
        try
        {
            await owner.SendAsync(method, path, body is null ? null : JsonNode.Parse(body), method == HttpMethod.Delete && path.StartsWith("devices", StringComparison.Ordinal) ? "*" : null, TestContext.Current.CancellationToken);
            return HttpStatusCode.OK;
        }
        catch (ServiceException refused)
        {
            return refused.Status;
        }
        catch (System.Text.Json.JsonException)
        {
            // An answer that is not one object: it was given.
            return HttpStatusCode.OK;
        }
    }

    /// <summary>All rows of all tables.</summary>
    private static string Dump(string data)
    {
        using var connection = new SqliteConnection($"Data Source={Path.Combine(data, "metadata.db")};Mode=ReadOnly;Pooling=False");
        connection.Open();
        var dump = new List<string>();
        foreach (var table in Rows(connection, "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"))
            dump.AddRange(Rows(connection, $"SELECT * FROM \"{table}\"").Order(StringComparer.Ordinal).Select(row => $"{table}: {row}"));
        return string.Join('\n', dump);
    }

    private static List<string> Rows(SqliteConnection connection, string sql)
    {
        using var command = connection.CreateCommand();
        command.CommandText = sql;
        using var reader = command.ExecuteReader();
        var rows = new List<string>();
        while (reader.Read())
            rows.Add(string.Join(" | ", Enumerable.Range(0, reader.FieldCount).Select(i => reader.GetValue(i) is byte[] bytes ? Convert.ToHexString(bytes) : $"{reader.GetValue(i)}")));
        return rows;
    }

    private sealed class BreakableTrail : IAuditTrail
    {
        private readonly System.Collections.Concurrent.ConcurrentQueue<AuditEntry> _noted = new();
        private IAuditTrail _inner = null!;

        public bool IsBroken { get; set; }

        public IEnumerable<AuditEntry> Noted => _noted;

        public BreakableTrail Around(IAuditTrail trail)
        {
            _inner = trail;
            return this;
        }

        public ValueTask RecordAsync(AuditEntry entry, CancellationToken cancel) =>
            IsBroken ? ValueTask.FromException(new IOException("no space left on device")) : _inner.RecordAsync(entry, cancel);

        public void Note(AuditEntry entry)
        {
            _noted.Enqueue(entry);
            _inner.Note(entry);
        }
    }
}
