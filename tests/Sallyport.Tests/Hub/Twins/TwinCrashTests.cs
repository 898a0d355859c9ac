using System.Text;
using System.Text.Json.Nodes;
using Sallyport.Hub.Registry;
using Sallyport.Hub.Twins;
using Sallyport.Protocol.Amqp;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Twins;
using Sallyport.Storage.EventLog;
using Sallyport.Tests.Hub.Registry;

namespace Sallyport.Tests.Hub.Twins;

/// <summary>The hub dies between any two changes of a twin, and in the middle of their writes.</summary>
public sealed class TwinCrashTests
{
    private const int Steps = 40;

    private static readonly Identity D1 = Identity.Of("d1");

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(5)]
    [InlineData(6)]
    public async Task Hub_ThatDies_LosesNoVersionOfATwin_AndTellsOfEachOnce(int seed)
    {
        await using var hub = await RegistryFixture.OpenAsync();
        var generation = (await hub.CreateAsync("d1")).GenerationId;
        var random = new Random(seed);
        for (var step = 0; step < Steps; step++)
        {
            var before = Shown(hub);
            var act = ChangeAsync(hub, generation, random, step);
            await DieAsync(hub, random, before, act);
            await act;
            await DieAsync(hub, random, Shown(hub), null);
        }
    }

    private static async Task ChangeAsync(RegistryFixture hub, string generation, Random random, int step)
    {
        var name = $"p{random.Next(4)}";
        var value = random.Next(4) == 0 ? "null" : $$"""{"n":{{step}}}""";
        switch (random.Next(4))
        {
            case 0:
                await hub.Twins.ReportAsync(D1, generation, TwinReader.Read(Encoding.UTF8.GetBytes($$"""{"{{name}}":{{value}}} """), TwinLimits.Reported), null, CancellationToken.None);
                break;
            case 1:
                await MergeAsync($$"""{"tags":{"{{name}}":{{value}}} }""", replaces: false);
                break;
            case 2:
                await MergeAsync($$"""{"properties":{"desired":{"{{name}}":{{value}}} } }""", replaces: false);
                break;
            default:
                await MergeAsync($$"""{"tags":{"only":{{step}}},"properties":{"desired":{"only":{{step}}} } }""", replaces: true);
                break;
        }

        async Task MergeAsync(string json, bool replaces) =>
            await hub.Twins.ChangeAsync(RegistryFixture.Owner, D1, TwinChange.Read(Encoding.UTF8.GetBytes(json), replaces), EntityTagCondition.Any, CancellationToken.None);
    }

    private static async Task DieAsync(RegistryFixture hub, Random random, string before, Task? act)
    {
        if (random.Next(2) == 0)
            return;

        await using var after = await hub.AfterCrashAsync();
        var found = Shown(after);
        if (act is null)
        {
            Assert.Equal(before, found);
        }
        else if (found != before)
        {
            // The act is on disk, whoever was told or not: as a whole.
            await act;
            Assert.Equal(Shown(hub), found);
        }

        // Each version but the first was told of once, in its order.
        var version = (long)JsonNode.Parse(found)!["version"]!;
        Assert.Equal(Enumerable.Range(3, (int)version - 2).Select(n => (long)n), after.Outbox(SourceKind.TwinChange).Select(record => VersionOf(record.Message)));
    }

    private static long VersionOf(byte[] message)
    {
        Assert.True(StoredMessage.TryRead(message, out var stored));
        return (long)JsonNode.Parse(stored.Body)!["version"]!;
    }

    private static string Shown(RegistryFixture hub) => Encoding.UTF8.GetString(TwinJson.Encode(hub.Twins.Get(D1)));
}
