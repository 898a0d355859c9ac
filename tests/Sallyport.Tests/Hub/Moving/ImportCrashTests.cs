using System.Text;
using System.Text.Json.Nodes;
using Sallyport.Protocol.Identities;
using Sallyport.Storage.Metadata;

namespace Sallyport.Tests.Hub.Moving;

/// <summary>The hub dies between any two steps of an import, again and again; what comes out is what an import without a death gives.</summary>
public sealed class ImportCrashTests
{
    private const int Lines = 230;

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(5)]
    [InlineData(6)]
    [InlineData(7)]
    [InlineData(8)]
    public async Task Import_OfAHubThatDies_LosesAndDoublesNothing(int seed)
    {
        var random = new Random(seed);
        var file = FileOf(random);
        var whole = await RunAsync(file, null);

        var broken = await RunAsync(file, random);

        Assert.Equal(whole.Errors, broken.Errors);
        Assert.Equal(whole.State, broken.State);
        Assert.Equal(whole.Created, broken.Created);
        Assert.Equal(0, whole.Deaths);
        Assert.True(broken.Deaths > 3);
    }

    private static async Task<(string Errors, string State, int Created, int Deaths)> RunAsync(string file, Random? random)
    {
        await using var hub = await MovingFixture.OpenAsync();
        hub.Containers.Blobs["devices.txt"] = Encoding.UTF8.GetBytes("""{"id":"old-1"}""" + "\n" + """{"id":"old-2"}""");
        await hub.RunAsync(await hub.ImportAsync());
        hub.Containers.Blobs["devices.txt"] = Encoding.UTF8.GetBytes(file);
        var job = await hub.ImportAsync();
        var deaths = 0;
        while (true)
        {
            if (random is not null)
                hub.Metadata.DieAfter(random.Next(1, deaths < 12 ? 12 : 2000), afterwards: random.Next(2) == 0);
            var ended = await hub.RunAsync(job);
            if (ended.HasEnded && random is null)
                break;
            if (ended.Status is RegistryJobStatus.Completed)
                break;
            Assert.False(ended.HasEnded, ended.Failure);
            deaths++;
            await hub.BeginAsync();
        }

        hub.Metadata.Revive();
        var done = hub.Jobs.Get(job.Id);
        Assert.Equal((RegistryJobStatus.Completed, null, 100), (done.Status, done.Failure, done.Progress));
        Assert.Null(hub.Metadata.Read(tx => hub.Metadata.RegistryJobs.Find(tx, job.Id))!.Secret);
        Assert.Empty(hub.Metadata.Read(tx => hub.Metadata.RegistryJobs.ListErrors(tx, job.Id, -1, 10)));
        return (hub.Containers.Text("importErrors.log"), StateOf(hub), CreatedIn(hub), deaths);
    }

    // Everything but what is random: generations, ETags, keys that the hub made.
    private static string StateOf(MovingFixture hub) => hub.Metadata.Read(tx =>
    {
        var state = new StringBuilder();
        foreach (var facts in hub.Metadata.Identities.Survey(tx, null, 10_000))
        {
            var identity = hub.Metadata.Identities.Find(tx, facts.DeviceId, facts.ModuleId)!;
            var twin = hub.Metadata.Twins.Find(tx, facts.DeviceId, facts.ModuleId)!;
            EdgeScope.TryReadDevice(identity.ParentScopes is [var scope, ..] ? scope : null, out var parent);
            state.Append(facts).Append(' ').Append(identity.Enabled).Append(identity.StatusReason).Append(identity.IotEdge).Append(" below ").Append(parent).Append(' ')
                .Append(Encoding.UTF8.GetString(twin.Tags)).Append(Encoding.UTF8.GetString(twin.Desired.Json)).Append('\n');
        }

        return state.ToString();
    });

    private static int CreatedIn(MovingFixture hub) => hub.Metadata.Read(tx => hub.Metadata.Outbox.Peek(tx, 10_000)).Count(record => Encoding.UTF8.GetString(record.Message).Contains("DeviceIdentity", StringComparison.Ordinal));

    private static string FileOf(Random random)
    {
        var lines = new List<string>();
        for (var n = 0; n < Lines; n++)
        {
            var line = new JsonObject { ["id"] = $"d{n}", ["importMode"] = random.Next(3) == 0 ? "create" : "createOrUpdate" };
            switch (random.Next(10))
            {
                case 0:
                    lines.Add("no JSON");
                    continue;
                case 1:
                    line["id"] = "old-1"; // there already
                    line["importMode"] = "create";
                    break;
                case 2 when n > 0:
                    line["id"] = $"d{random.Next(n)}"; // doubled, or not there
                    line["importMode"] = random.Next(2) == 0 ? "delete" : "update";
                    break;
                case 3:
                    line["capabilities"] = new JsonObject { ["iotEdge"] = true };
                    break;
                case 4:
                    line["deviceScope"] = $"ms-azure-iot-edge://d{random.Next(Lines)}-1";
                    break;
                case 5:
                    lines.Add("");
                    continue;
            }

            line["statusReason"] = $"line {n}";
            if (random.Next(4) == 0)
                line["tags"] = new JsonObject { ["n"] = n, [random.Next(10) == 0 ? "a.b" : "ok"] = true };
            lines.Add(line.ToJsonString());
        }

        return string.Join(random.Next(2) == 0 ? "\n" : "\r\n", lines);
    }
}
