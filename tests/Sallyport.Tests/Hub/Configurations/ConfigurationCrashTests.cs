using System.Text;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Sallyport.Hub.Configurations;
using Sallyport.Storage.Metadata;

namespace Sallyport.Tests.Hub.Configurations;

/// <summary>
/// The hub dies between any two steps of changing configurations and twins and of making twins follow, and in the middle of their writes. Whatever of it was on disk: the next hub makes twins be as
/// the configurations say that it finds, and each change of a twin is one version with one event.
/// </summary>
public sealed partial class ConfigurationCrashTests
{
    private const int Steps = 25;
    private const int Devices = 5;

    private static readonly string[] Groups = ["a", "b", "c"];

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(5)]
    [InlineData(6)]
    public async Task Hub_ThatDies_MakesTwinsFollowAfterItsStart_AndDoublesNothing(int seed)
    {
        await using var hub = await ConfigurationsFixture.OpenAsync(new ConfigurationOptions { TwinsPerTurn = 2, WritesAtOnce = 2 });
        var run = new Run(hub, new Random(seed));
        await run.BeginAsync();
        for (var step = 0; step < Steps; step++)
            await run.StepAsync();
    }

    private sealed class Run(ConfigurationsFixture hub, Random random)
    {
        private int _serial;

        public async Task BeginAsync()
        {
            for (var i = 0; i < Devices; i++)
            {
                await hub.CreateAsync($"d{i}", isEdge: i == 0);
                await hub.PatchAsync($"d{i}", "{\"properties\":{\"desired\":{\"own\":" + i + "}}}");
            }
        }

        public async Task StepAsync()
        {
            var ids = hub.Metadata.Read(hub.Metadata.Configurations.List).Select(one => one.Id).ToList();
            Task act = random.Next(10) switch
            {
                < 2 => hub.PutDeviceAsync($"c{_serial++}", $$"""{"properties.desired.p{{random.Next(3)}}":"{{_serial}}","properties.desired.q.p{{random.Next(3)}}":{{_serial}}}""", Condition(), random.Next(3)),
                2 => hub.PutAsync($"c{_serial++}", Deployment(_serial, random.Next(2)), Condition(), random.Next(3)),
                3 when ids.Count > 0 => hub.DeleteAsync(ids[random.Next(ids.Count)]),
                4 when ids.Count > 0 => hub.ChangeAsync(ids[random.Next(ids.Count)], $$"""{"priority":{{random.Next(3)}},"targetCondition":"{{Condition()}}"}"""),
                < 7 => hub.TagAsync($"d{random.Next(Devices)}", $$"""{"g":"{{Groups[random.Next(Groups.Length)]}}"}"""),
                7 => hub.PatchAsync($"d{random.Next(Devices)}", "{\"properties\":{\"desired\":{\"p" + random.Next(3) + "\":\"mine\"}}}"),
                _ => hub.Rollout.TurnAsync(CancellationToken.None).AsTask(),
            };
            await DieAsync();
            await act;
            await DieAsync();
            if (random.Next(2) == 0)
                await hub.Rollout.TurnAsync(CancellationToken.None);
        }

        private static string Deployment(int n, int module) =>
            "{\"modulesContent\":{\"$edgeAgent\":{\"properties.desired\":{\"n\":" + n + "}},\"m" + module + "\":{\"properties.desired\":{\"n\":" + n + "}}}}";

        private string Condition() => random.Next(4) == 0 ? "*" : $"tags.g = '{Groups[random.Next(Groups.Length)]}'";

        private async Task DieAsync()
        {
            if (random.Next(2) == 0)
                return;

            await using var after = await hub.AfterCrashAsync();
            await after.SettleAsync();
            var configurations = after.Metadata.Read(after.Metadata.Configurations.List).OrderBy(one => one.Priority).ThenBy(one => one.Number).ToList();
            for (var i = 0; i < Devices; i++)
                Compare(after, i, configurations);

            var versions = Versions(after);
            await after.SettleAsync();
            Assert.Equal(versions, Versions(after));
        }

        private static void Compare(ConfigurationsFixture after, int device, IReadOnlyList<ConfigurationRecord> configurations)
        {
            var id = $"d{device}";
            var twin = after.Stored(id)!;
            var group = (string?)JsonNode.Parse(twin.Tags)!["g"];
            var reaching = configurations.Where(one => one.TargetCondition == "*" || one.TargetCondition == $"tags.g = '{group}'").ToList();
            var wanted = new JsonObject { ["own"] = device };
            foreach (var (path, value) in reaching.SelectMany(one => JsonNode.Parse(one.Content)!["deviceContent"]?.AsObject() ?? []))
            {
                var names = path.Split('.')[2..];
                var target = names.Length == 1 ? wanted : wanted["q"] as JsonObject ?? (JsonObject)(wanted["q"] = new JsonObject());
                target[names[^1]] = value!.DeepClone();
            }

            // What somebody has set where no configuration says anything is theirs.
            var found = JsonNode.Parse(twin.Desired.Json)!.AsObject();
            foreach (var name in found.Where(member => (member.Value as JsonValue)?.ToString() == "mine").Select(member => member.Key).ToList())
                Assert.True(found.Remove(name) && !wanted.ContainsKey(name));
            Assert.True(JsonNode.DeepEquals(wanted, found), $"{id}: {wanted.ToJsonString()} is wanted, and it has {found.ToJsonString()}");

            var deployments = reaching.Where(one => Encoding.UTF8.GetString(one.Content).Contains("modulesContent", StringComparison.Ordinal)).ToList();
            var shown = reaching.Where(one => device == 0 || !deployments.Contains(one)).Select(one => one.Id).Order(StringComparer.Ordinal);
            Assert.Equal(shown, after.Shown(id).Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(one => one.Split('=')[0]));
            if (device == 0 && deployments.LastOrDefault() is { } strongest)
            {
                foreach (var (module, content) in JsonNode.Parse(strongest.Content)!["modulesContent"]!.AsObject())
                    Assert.Equal(content!["properties.desired"]!.ToJsonString(), after.Desired(id, module));
            }
        }

        // One event a version of desired properties: nothing is told twice, and nothing is not told.
        private static List<string> Versions(ConfigurationsFixture after)
        {
            List<string> versions = [];
            var events = after.Metadata.Read(tx => after.Metadata.Outbox.Peek(tx, 100_000)).Select(one => (one.DeviceId, Text: Encoding.UTF8.GetString(one.Message))).ToList();
            for (var i = 0; i < Devices; i++)
            {
                var twin = after.Stored($"d{i}")!;
                var told = events.Where(one => one.DeviceId == $"d{i}" && !one.Text.Contains("moduleId", StringComparison.Ordinal) && one.Text.Contains("\"desired\":", StringComparison.Ordinal) && one.Text.Contains("updateTwin", StringComparison.Ordinal))
                    .Select(one => long.Parse(DesiredVersion().Match(one.Text).Groups[1].Value, System.Globalization.CultureInfo.InvariantCulture)).ToList();
                Assert.Equal(Enumerable.Range(2, (int)twin.Desired.Version - 1).Select(version => (long)version), told);
                versions.Add($"{twin.Version} {twin.ETag}");
            }

            return versions;
        }
    }

    [GeneratedRegex("\"\\$version\":([0-9]+)}}}")]
    private static partial Regex DesiredVersion();
}
