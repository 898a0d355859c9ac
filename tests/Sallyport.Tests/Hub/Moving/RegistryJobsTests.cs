using System.Text;
using System.Text.Json.Nodes;
using Sallyport.Hub.Access;
using Sallyport.Hub.Limits;
using Sallyport.Protocol.Errors;
using Sallyport.Storage.Metadata;

namespace Sallyport.Tests.Hub.Moving;

public sealed class RegistryJobsTests : IAsyncLifetime
{
    private MovingFixture _hub = null!;

    public async ValueTask InitializeAsync() => _hub = await MovingFixture.OpenAsync();

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    [Fact]
    public async Task Import_ThenExport_HoldsTheSameKeysTwinsAndParents()
    {
        Put("""{"id":"leaf","status":"disabled","authentication":{"type":"sas","symmetricKey":{"primaryKey":"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=","secondaryKey":"Y2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2M="}},"deviceScope":"ms-azure-iot-edge://edge-1","tags":{"a":1},"properties":{"desired":{"n":1},"reported":{"r":1}}}""",
            """{"id":"leaf","moduleId":"m1","tags":{"b":2}}""", """{"id":"edge","capabilities":{"iotEdge":true}}""");

        var imported = await _hub.RunAsync(await _hub.ImportAsync());
        var exported = await _hub.RunAsync(await _hub.ExportAsync());

        Assert.Equal((RegistryJobStatus.Completed, RegistryJobStatus.Completed), (imported.Status, exported.Status));
        Assert.Equal("", _hub.Containers.Text("importErrors.log"));
        var lines = Lines("devices.txt");
        Assert.Equal(["edge", "edge/$edgeAgent", "edge/$edgeHub", "leaf", "leaf/m1"], lines.Select(line => $"{line["id"]}{(line["moduleId"] is { } module ? $"/{module}" : "")}"));
        var leaf = lines[3];
        Assert.Equal(("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", "disabled", 1, 1), ((string?)leaf["authentication"]!["symmetricKey"]!["primaryKey"], (string?)leaf["status"], (int)leaf["tags"]!["a"]!, (int)leaf["properties"]!["desired"]!["n"]!));
        Assert.Equal((string?)lines[0]["deviceScope"], (string?)leaf["parentScopes"]![0]);
        Assert.Null(leaf["properties"]!["reported"]!["r"]);
    }

    [Fact]
    public async Task Import_OfLinesWithoutKeys_LeavesThoseThereAre()
    {
        Put("""{"id":"d1"}""");
        await _hub.RunAsync(await _hub.ImportAsync());
        var before = Stored("d1");
        await _hub.RunAsync(await _hub.ExportAsync(withoutKeys: true));
        Assert.DoesNotContain(before.PrimaryKey!, _hub.Containers.Text("devices.txt"), StringComparison.Ordinal);

        await _hub.RunAsync(await _hub.ImportAsync());

        Assert.Equal((before.PrimaryKey, before.SecondaryKey), (Stored("d1").PrimaryKey, Stored("d1").SecondaryKey));
    }

    [Fact]
    public async Task Job_RunsWithNoMoreRightsThanItsCreatorHolds()
    {
        Put("""{"id":"d1","tags":{"a":1}}""", """{"id":"d2"}""");
        var writer = _hub.Owner with { Principal = "policy:registryReadWrite", Rights = AzureRights.RegistryWrite };

        await _hub.RunAsync(await _hub.ImportAsync(writer));

        Assert.Equal(["d1"], Lines("importErrors.log").Select(error => (string)error["deviceId"]!));
        Assert.Null(_hub.Metadata.Read(tx => _hub.Metadata.Identities.Find(tx, "d1", null)));
        var exported = await _hub.RunAsync(await _hub.ExportAsync(writer));
        Assert.Equal(RegistryJobStatus.Completed, exported.Status);
        Assert.Null(Lines("devices.txt")[0]["tags"]);
    }

    [Fact]
    public async Task Job_OfACreatorWhoMayNoMore_Fails_AndOneWhoMayNotIsRefused()
    {
        Put("""{"id":"d1"}""");
        await _hub.Policies.CreateAsync(_hub.Owner, "mover", AzureRights.RegistryWrite, Scope.Everything, null, null, CancellationToken.None);
        var job = await _hub.ImportAsync(_hub.Owner with { Principal = "policy:mover", Rights = AzureRights.RegistryWrite });
        await _hub.Policies.DeleteAsync(_hub.Owner, "mover", Sallyport.Hub.Registry.EntityTagCondition.Any, CancellationToken.None);

        var ended = await _hub.RunAsync(job);

        Assert.Equal((RegistryJobStatus.Failed, "policy:mover, who made the job, does not hold registry-write any more"), (ended.Status, ended.Failure));
        Assert.Null(_hub.Metadata.Read(tx => _hub.Metadata.Identities.Find(tx, "d1", null)));
        var reader = _hub.Owner with { Rights = Rights.RegistryRead };
        Assert.Equal(HubErrors.UnauthorizedAccess, (await Assert.ThrowsAsync<HubException>(() => _hub.ImportAsync(reader).AsTask())).Error);
        Assert.Equal(HubErrors.UnauthorizedAccess, (await Assert.ThrowsAsync<HubException>(() => _hub.ExportAsync(reader).AsTask())).Error);
        Assert.Equal(RegistryJobStatus.Enqueued, (await _hub.ExportAsync(_hub.Owner with { Rights = Rights.RegistryRead }, withoutKeys: true)).Status);
    }

    [Fact]
    public async Task Job_WhileAnotherIsUnderWay_IsRefused_UntilThatIsCancelled()
    {
        Put("""{"id":"d1"}""");
        var first = await _hub.ImportAsync();
        Assert.Equal(HubErrors.JobQuotaExceeded, (await Assert.ThrowsAsync<HubException>(() => _hub.ExportAsync().AsTask())).Error);

        var other = _hub.Owner with { Principal = "policy:registryRead", Rights = AzureRights.RegistryRead };
        Assert.Equal(HubErrors.UnauthorizedAccess, (await Assert.ThrowsAsync<HubException>(() => _hub.Jobs.CancelAsync(other, first.Id, CancellationToken.None).AsTask())).Error);
        await _hub.Jobs.CancelAsync(_hub.Owner, first.Id, CancellationToken.None);
        await _hub.Jobs.CancelAsync(_hub.Owner, first.Id, CancellationToken.None);

        Assert.Equal(RegistryJobStatus.Cancelled, (await _hub.RunAsync(first)).Status);
        Assert.Null(_hub.Metadata.Read(tx => _hub.Metadata.RegistryJobs.Find(tx, first.Id))!.Secret);
        _hub.Time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(RegistryJobStatus.Completed, (await _hub.RunAsync(await _hub.ExportAsync())).Status);
        Assert.Equal([RegistryJobKind.Export, RegistryJobKind.Import], _hub.Jobs.List().Select(job => job.Kind));
    }

    [Fact]
    public async Task Signature_IsSealedInTheStore_AndInNothingElse()
    {
        Put("""{"id":"d1"}""");
        var job = await _hub.ImportAsync();
        var stored = _hub.Metadata.Read(tx => _hub.Metadata.RegistryJobs.Find(tx, job.Id))!;

        Assert.Contains("SECRET", stored.Secret, StringComparison.Ordinal);
        foreach (var said in new[] { job.ToString(), job.Settings, stored.ToString(), string.Join('\n', _hub.Audit.Entries), _hub.Jobs.Get(job.Id).Secret ?? "" })
            Assert.DoesNotContain("SECRET", said, StringComparison.Ordinal);
        await _hub.RunAsync(job);
        Assert.Null(_hub.Metadata.Read(tx => _hub.Metadata.RegistryJobs.Find(tx, job.Id))!.Secret);
        Assert.DoesNotContain(_hub.Audit.Entries, entry => entry.ToString().Contains("SECRET", StringComparison.Ordinal));
        Assert.Contains(_hub.Audit.Entries, entry => entry.Action == "job import" && entry.Target.EndsWith("https://account.test/c", StringComparison.Ordinal));
        Assert.Contains(_hub.Audit.Entries, entry => entry.Action == "device create" && entry.Target == "d1" && entry.CorrelationId == job.Id && entry.Principal == "policy:iothubowner");
    }

    [Fact]
    public async Task Import_BeyondTheLimitOfTheHub_Waits_AndIsDoneWhole()
    {
        await _hub.BeginAsync(new QuotaOptions { RegistryOperationsPerSecond = 100, DeviceRegistryOperationsPerSecond = 0, Burst = TimeSpan.FromSeconds(1) });
        Put([.. Enumerable.Range(0, 450).Select(n => $$"""{"id":"d{{n}}","tags":{"n":{{n}} } }""")]);

        var ended = await _hub.RunAsync(await _hub.ImportAsync());

        Assert.Equal((RegistryJobStatus.Completed, 0L), (ended.Status, ended.Errors));
        Assert.Equal(450, _hub.Metadata.Read(_hub.Metadata.Identities.CountDevices).Total);
        Assert.Equal("{\"n\":449}", Encoding.UTF8.GetString(_hub.Metadata.Read(tx => _hub.Metadata.Twins.Find(tx, "d449", null))!.Tags));
    }

    [Fact]
    public async Task Job_WhileTheTrailCannotBeWritten_IsNotBegun()
    {
        _hub.Audit.IsBroken = true;
        Assert.Equal(HubErrors.ServiceUnavailable, (await Assert.ThrowsAsync<HubException>(() => _hub.ExportAsync().AsTask())).Error);
        Assert.Empty(_hub.Jobs.List());
    }

    [Theory]
    [InlineData("\"deviceScope\":\"ms-azure-iot-edge://nobody-1\"", "nobody is no edge device here")]
    [InlineData("\"deviceScope\":\"ms-azure-iot-edge://plain-1\"", "plain is no edge device here")]
    [InlineData("\"tags\":{\"a.b\":1}", "a.b")]
    [InlineData("\"importMode\":\"sometimes\"", "importMode")]
    [InlineData("\"status\":\"perhaps\"", "status")]
    [InlineData("\"status\":7", "$.status")]
    [InlineData("\"moduleId\":\"no id\"", "is not a valid id")]
    public async Task Line_ThatCannotBe_IsInTheLog_AndTheOthersAreDone(string part, string why)
    {
        Put("""{"id":"plain"}""", $"{{\"id\":\"d1\",{part}}}", """{"id":"d2"}""");

        var ended = await _hub.RunAsync(await _hub.ImportAsync());

        Assert.Equal((RegistryJobStatus.Completed, 1L), (ended.Status, ended.Errors));
        Assert.Contains(why, (string)Assert.Single(Lines("importErrors.log"))["errorStatus"]!, StringComparison.Ordinal);
        Assert.NotNull(_hub.Metadata.Read(tx => _hub.Metadata.Identities.Find(tx, "d2", null)));
    }

    [Fact]
    public async Task File_ThatIsOfNothingButWrongLines_FailsAtTheBound_AndSaysTheFirst()
    {
        _hub.Containers.Blobs["devices.txt"] = Encoding.UTF8.GetBytes(string.Concat(Enumerable.Repeat("x\n", MovingFixture.MaxErrors + 1)));

        var ended = await _hub.RunAsync(await _hub.ImportAsync());

        Assert.Equal(RegistryJobStatus.Failed, ended.Status);
        Assert.StartsWith("more than 300 lines could not be imported", ended.Failure, StringComparison.Ordinal);
        Assert.Equal(MovingFixture.MaxErrors, Lines("importErrors.log").Count);
        Assert.Empty(_hub.Metadata.Read(tx => _hub.Metadata.RegistryJobs.ListErrors(tx, ended.Id, -1, 1)));
    }

    private void Put(params string[] lines) => _hub.Containers.Blobs["devices.txt"] = Encoding.UTF8.GetBytes(string.Join("\r\n", lines) + "\r\n");

    private IdentityRecord Stored(string id) => _hub.Metadata.Read(tx => _hub.Metadata.Identities.Find(tx, id, null))!;

    private List<JsonNode> Lines(string blob) => [.. _hub.Containers.Text(blob).Split("\r\n", StringSplitOptions.RemoveEmptyEntries).Select(line => JsonNode.Parse(line)!)];
}
