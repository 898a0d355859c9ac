using System.Net;
using System.Text.Json.Nodes;
using Sallyport.Client.Service;
using Sallyport.Protocol.Sas;
using Sallyport.Tests.Executable.Cli;

namespace Sallyport.Tests.Executable.Bounds;

/// <summary>Ids at their limits and with every character that they may have, of devices and modules, through every path of a whole hub.</summary>
public sealed class LegalIdsTests(CliHub hub) : IClassFixture<CliHub>
{
    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("a")]
    [InlineData("x-.+%_#*?!(),=@$':;")]
    [InlineData("-x")]
    [InlineData("%2F%41%")]
    [InlineData("'")]
    [InlineData("#")]
    [InlineData("?")]
    [InlineData("=")]
    [InlineData("$Default")]
    [InlineData("query")]
    [InlineData("keys")]
    [InlineData("...")]
    [InlineData("128 of x")]
    [InlineData("128 of %")]
    [InlineData("128 of '")]
    public async Task Id_PassesThroughEveryPath(string id)
    {
        if (id.StartsWith("128 of ", StringComparison.Ordinal))
            id = new string(id[^1], 128);
        var (at, quoted) = (Uri.EscapeDataString(id), id.Replace("'", "\\'", StringComparison.Ordinal));
        using var owner = hub.Hub.Owner();

        // Registry and command line.
        var key = (string)(await hub.JsonAsync("device-identity", "create", $"--device-id={id}"))["authentication"]!["symmetricKey"]!["primaryKey"]!;
        await hub.JsonAsync("module-identity", "create", $"--device-id={id}", $"--module-id={id}");
        Assert.Equal(id, (string?)(await hub.JsonAsync("module-identity", "list", $"--device-id={id}"))[0]!["moduleId"]);
        if (!id.Contains(';', StringComparison.Ordinal)) // It would end the value.
            Assert.Contains(key, (string?)(await hub.JsonAsync("device-identity", "connection-string", "show", $"--device-id={id}"))["connectionString"], StringComparison.Ordinal);
        if (id.Length < 40)
            Assert.Contains($" {id} ", (await hub.RunAsync("device-identity", "list", "-o", "table")).Out, StringComparison.Ordinal);

        // In bulk, and twins.
        await owner.SendAsync(HttpMethod.Post, "devices", new JsonArray(new JsonObject { ["id"] = id, ["importMode"] = "updateTwin", ["tags"] = new JsonObject { ["of"] = id } }), cancel: Cancel);
        Assert.Equal((id, id), ((string?)(await owner.SendAsync(HttpMethod.Get, $"twins/{at}", cancel: Cancel))!["deviceId"], (string?)(await owner.SendAsync(HttpMethod.Get, $"twins/{at}", cancel: Cancel))!["tags"]!["of"]));
        await owner.SendAsync(HttpMethod.Patch, $"twins/{at}/modules/{at}", new JsonObject { ["tags"] = new JsonObject { ["of"] = id } }, cancel: Cancel);
        Assert.Equal(id, (string?)(await hub.JsonAsync("module-twin", "show", $"--device-id={id}", $"--module-id={id}"))["moduleId"]);
        Assert.Equal(id, (string?)(await owner.SendAsync(HttpMethod.Get, $"digitaltwins/{at}", cancel: Cancel))!["$dtId"]);

        // Queries, of devices and of modules.
        Assert.Equal(id, (string?)Assert.Single((await hub.JsonAsync("query", "-q", $"SELECT deviceId FROM devices WHERE deviceId = '{quoted}' AND tags.of = '{quoted}'")).AsArray())!["deviceId"]);
        Assert.Equal(id, (string?)Assert.Single((await hub.JsonAsync("query", "-q", $"SELECT moduleId FROM devices.modules WHERE deviceId = '{quoted}' AND moduleId = '{quoted}'")).AsArray())!["moduleId"]);

        // Methods and commands.
        foreach (var target in (string[])[$"twins/{at}/methods", $"twins/{at}/modules/{at}/methods"])
            Assert.Equal("DeviceNotOnline", (await Assert.ThrowsAsync<ServiceException>(() => owner.SendAsync(HttpMethod.Post, target, new JsonObject { ["methodName"] = "m" }, cancel: Cancel))).ErrorCode);
        foreach (var of in (string[][])[[$"--device-id={id}"], [$"--device-id={id}", $"--module-id={id}"]])
        {
            await hub.JsonAsync(["device", "c2d-message", "send", .. of]);
            Assert.Single((await hub.JsonAsync(["device", "c2d-message", "list", .. of])).AsArray());
        }

        // Quarantine and diagnosis.
        await owner.SendAsync(HttpMethod.Put, $"manage/v1/devices/{at}/quarantine", new JsonObject { ["reason"] = "looks odd" }, cancel: Cancel);
        Assert.Contains((await hub.JsonAsync("device", "list-quarantined")).AsArray(), each => (string?)each!["deviceId"] == id);
        await owner.SendAsync(HttpMethod.Delete, $"manage/v1/devices/{at}/quarantine", cancel: Cancel);

        // Devices, over each transport that can name it: a topic has neither + nor #.
        var token = SharedAccessSignature.Create($"localhost/devices/{id}", key, DateTimeOffset.UtcNow.AddHours(1));
        var sent = 1;
        await owner.SendTelemetryAsync(id, null, "\"https\""u8.ToArray(), cancel: Cancel);
        await using (var amqp = await WireAmqp.DeviceAsync(hub.Hub.Endpoints, id, token))
            await amqp.PublishAsync("\"amqp\"");
        sent++;
        if (id.AsSpan().IndexOfAny('+', '#') < 0)
        {
            await using var mqtt = await WireDevice.OpenAsync(hub.Hub.Endpoints, "MQTT", id);
            await mqtt.ConnectAsync(key, DateTimeOffset.UtcNow.AddHours(1));
            await mqtt.PublishAsync("\"mqtt\"");
            sent++;
        }

        Assert.Equal("admitted", (string?)(await owner.SendAsync(HttpMethod.Get, $"manage/v1/devices/{at}/diagnosis", cancel: Cancel))!["attempts"]!.AsArray().Select(attempt => attempt!["outcome"]).First(outcome => (string?)outcome == "admitted"));

        // Events, changes, histories, the trail.
        Assert.Equal(sent, (await LinesAsync($"manage/v1/events?deviceId={at}")).Count(line => (string?)line["deviceId"] == id));
        var changes = (await LinesAsync($"manage/v1/changes?deviceId={at}")).Where(line => (string?)line["deviceId"] == id).Select(line => (string?)line["properties"]!["opType"]).ToList();
        Assert.Contains("createDeviceIdentity", changes);
        Assert.Contains("createModuleIdentity", changes);
        Assert.Contains("deviceConnected", changes);
        Assert.NotEmpty((await hub.JsonAsync("device-twin", "history", $"--device-id={id}")).AsArray());
        Assert.NotEmpty((await hub.JsonAsync("module-twin", "history", $"--device-id={id}", $"--module-id={id}")).AsArray());
        Assert.Contains((await hub.JsonAsync("audit", "list", "--action", "module create")).AsArray(), entry => (string?)entry!["target"] == $"{id}/{id}");

        // Out, and in again.
        var file = Path.Combine(hub.Data, $"{Guid.NewGuid():N}.txt");
        Assert.Equal(0, (await hub.RunAsync("export", "azure", "--devices", file)).Exit);
        Assert.Contains(File.ReadLines(file), line => (string?)JsonNode.Parse(line)!["id"] == id);
        Assert.Equal(0, (await hub.RunAsync("device-identity", "delete", $"--device-id={id}", "--yes")).Exit);
        await hub.RunAsync("import", "azure", "--devices", file);
        Assert.Equal(id, (string?)(await hub.JsonAsync("module-identity", "show", $"--device-id={id}", $"--module-id={id}"))["moduleId"]);
        Assert.Equal(0, (await hub.RunAsync("device-identity", "delete", $"--device-id={id}", "--yes")).Exit);
    }

    [Theory]
    [InlineData("129 characters")]
    [InlineData("ü")]
    [InlineData("a b")]
    [InlineData("a\"b")]
    [InlineData("a/b")]
    [InlineData("a\u0001b")]
    [InlineData(".")]
    [InlineData("..")]
    public async Task Id_ThatIsNone_IsRefused_WhereverItIsGiven(string id)
    {
        if (id == "129 characters")
            id = new string('x', 129);
        using var owner = hub.Hub.Owner();
        await owner.SendAsync(HttpMethod.Post, "devices", new JsonArray(new JsonObject { ["id"] = "of-modules" }), cancel: Cancel);

        if (id is not ("." or ".." or "a/b")) // A path with these names something else.
        {
            var at = Uri.EscapeDataString(id);
            foreach (var path in (string[])[$"devices/{at}", $"devices/of-modules/modules/{at}"])
                Assert.Equal((HttpStatusCode.BadRequest, "ArgumentInvalid"), await RefusalAsync(() => owner.SendAsync(HttpMethod.Put, path, new JsonObject(), cancel: Cancel)));
        }

        var bulk = await Assert.ThrowsAsync<ServiceException>(() => owner.SendAsync(HttpMethod.Post, "devices", new JsonArray(new JsonObject { ["id"] = id, ["importMode"] = "create" }), cancel: Cancel));
        Assert.Equal(HttpStatusCode.BadRequest, bulk.Status);
        Assert.DoesNotContain((await owner.SendAsync(HttpMethod.Get, "devices", cancel: Cancel))!.AsArray(), device => (string?)device!["deviceId"] == id);
    }

    [Fact]
    public async Task EveryRoute_OfADeviceThatIsNotThere_SaysSo()
    {
        // What makes one; and what knows of devices that are not there, or not there any more, and what they left.
        Dictionary<string, (int Status, string Error)> others = new()
        {
            ["PUT /devices/{id}"] = (400, "ArgumentInvalid"), // The body is about another.
            ["PUT /devices/{id}/modules/{moduleId}"] = (400, "ArgumentInvalid"),
            ["GET /manage/v1/devices/{id}/diagnosis"] = (200, ""),
            ["GET /manage/v1/devices/{id}/modules/{moduleId}/diagnosis"] = (200, ""),
            ["GET /manage/v1/devices/{id}/limits"] = (200, ""),
            ["DELETE /manage/v1/devices/{id}/quarantine"] = (404, "NotFound"),
            ["GET /manage/v1/devices/{id}/dead-commands"] = (200, ""),
            ["DELETE /manage/v1/devices/{id}/dead-commands/{number}"] = (404, "NotFound"),
            ["POST /manage/v1/devices/{id}/dead-commands/{number}/replay"] = (404, "NotFound"),
            ["GET /manage/v1/devices/{id}/files"] = (200, ""),
            ["DELETE /manage/v1/devices/{id}/files"] = (400, "ArgumentNull"), // The body says which.
            ["POST /manage/v1/devices/{id}/files/read"] = (400, "ArgumentNull"),
            ["GET /manage/v1/devices/{id}/uploads"] = (200, ""),
            ["POST /devices/{id}/applyConfigurationContent"] = (400, "ArgumentInvalid"), // The body is looked at first.
        };
        using var routes = new ServiceRoutes(hub.Hub);
        var wrong = new List<string>();
        foreach (var route in routes.All.Where(route => route.Pattern.Contains("{id}", StringComparison.Ordinal) && !route.Pattern.EndsWith("/messages/events", StringComparison.Ordinal)))
        {
            var body = route.Method is "GET" or "DELETE" ? null : System.Text.Encoding.UTF8.GetBytes(ServiceRoutes.BodyOf(route));
            var (status, error, _) = await routes.AskAsync(route.Method, ServiceRoutes.Path(route.Pattern, name => name is "id" ? "nobody" : name is "number" ? "1" : "x"), body);
            var isAsSaid = others.TryGetValue($"{route.Method} {route.Pattern}", out var other) ? ((int)status, error) == other
                : route.Pattern.Contains("{lock}", StringComparison.Ordinal) ? (status, error) is (HttpStatusCode.PreconditionFailed or HttpStatusCode.NotFound, "DeviceMessageLockLost" or "DeviceNotFound" or "ModuleNotFound")
                : (status, error) is (HttpStatusCode.NotFound, "DeviceNotFound" or "ModuleNotFound");
            if (!isAsSaid)
                wrong.Add($"{route.Method} {route.Pattern}: {(int)status} {error}");
        }

        Assert.True(wrong.Count == 0, string.Join('\n', wrong));
    }

    private static async Task<(HttpStatusCode, string)> RefusalAsync(Func<Task> act)
    {
        var refusal = await Assert.ThrowsAsync<ServiceException>(act);
        return (refusal.Status, refusal.ErrorCode);
    }

    private async Task<IEnumerable<JsonObject>> LinesAsync(string path)
    {
        var (status, body) = await hub.Hub.GetAsync($"{path}&from=earliest&follow=false", hub.Hub.Endpoints.OwnerConnectionString);
        Assert.Equal(HttpStatusCode.OK, status);
        return body.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => JsonNode.Parse(line)!.AsObject()).Where(line => !line.ContainsKey("control"));
    }
}
