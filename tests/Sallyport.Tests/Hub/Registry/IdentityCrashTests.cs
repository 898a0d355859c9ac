using System.Text;
using System.Text.Json.Nodes;
using Sallyport.Hub.Registry;
using Sallyport.Protocol.Amqp;
using Sallyport.Protocol.Identities;
using Sallyport.Storage.EventLog;

namespace Sallyport.Tests.Hub.Registry;

/// <summary>The hub dies between any two changes of the registry, single and in bulk, and in the middle of their writes.</summary>
public sealed class IdentityCrashTests
{
    private const int Steps = 40;

    private static readonly string[] Devices = ["d0", "d1", "d2", "d3", "d4"];

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(5)]
    [InlineData(6)]
    public async Task Hub_ThatDies_HasOfEachRequestAllOrNothing_WithTwinsAndEvents(int seed)
    {
        await using var hub = await RegistryFixture.OpenAsync();
        var random = new Random(seed);
        for (var step = 0; step < Steps; step++)
        {
            var before = Look(hub);
            var act = hub.Registry.ChangeAsync(RegistryFixture.Owner, Changes(random, step), CancellationToken.None).AsTask();
            await DieAsync(hub, random, before, act);
            await act;
            await DieAsync(hub, random, Look(hub), null);
        }
    }

    // Of different devices, some of them there and some not: what is refused of a bulk request refuses nothing else.
    private static List<IdentityChange> Changes(Random random, int step)
    {
        var devices = Devices.ToArray();
        random.Shuffle(devices);
        return [.. devices.Take(random.Next(1, 4)).Select(device =>
        {
            var module = random.Next(3) == 0 ? "m" : null;
            var identity = Identity.Of(device, module);
            return random.Next(3) switch
            {
                0 => new IdentityChange(identity, PutMode.Update, null, EntityTagCondition.Any),
                1 => new IdentityChange(identity, PutMode.CreateOrUpdate, module is null ? new IdentityDraft { StatusReason = $"{step}" } : new IdentityDraft(), EntityTagCondition.Any),
                _ => new IdentityChange(identity, PutMode.Create, module is null ? new IdentityDraft { IotEdge = random.Next(2) == 0 } : new IdentityDraft(), EntityTagCondition.Any),
            };
        })];
    }

    private static async Task DieAsync(RegistryFixture hub, Random random, State before, Task? act)
    {
        if (random.Next(2) == 0)
            return;

        await using var after = await hub.AfterCrashAsync();
        var found = Look(after);
        if (act is null)
        {
            Assert.Equal(before.Text, found.Text);
        }
        else if (found.Text != before.Text)
        {
            await act;
            Assert.Equal(Look(hub).Text, found.Text);
        }

        Assert.Equal(found.Devices, after.Registry.CountDevices().Total);
        foreach (var (identity, isThere) in found.Identities)
        {
            Assert.Equal(isThere, after.Metadata.Read(tx => after.Metadata.Twins.Find(tx, identity.DeviceId, identity.ModuleId)) is not null);
            var told = after.Outbox(SourceKind.DeviceLifecycle).Select(record => Told(record.Message)).Where(event_ => event_.Identity == identity).Select(event_ => event_.Operation).ToList();
            // A module that goes with its device is not told of by itself.
            var isAlternating = told.Zip(told.Skip(1)).All(pair => pair.First != pair.Second || identity.IsModule);
            Assert.True(isAlternating, $"{identity}: {string.Join(' ', told)}");
            if (isThere)
                Assert.StartsWith("create", told[^1]);
            else if (!identity.IsModule && told.Count > 0)
                Assert.StartsWith("delete", told[^1]);
        }
    }

    private static (Identity Identity, string Operation) Told(byte[] message)
    {
        Assert.True(StoredMessage.TryRead(message, out var stored));
        var twin = JsonNode.Parse(stored.Body)!;
        Assert.True(stored.ApplicationProperties.TryFind("opType"u8, out var operation));
        return (Identity.Of((string)twin["deviceId"]!, (string?)twin["moduleId"]), Encoding.UTF8.GetString(operation.Content));
    }

    private static State Look(RegistryFixture hub)
    {
        var identities = Devices.SelectMany(device => (Identity[])[Identity.Of(device), Identity.Of(device, "m"), Identity.Of(device, "$edgeHub")])
            .Select(identity => (Identity: identity, Record: hub.Stored(identity.DeviceId, identity.ModuleId))).ToList();
        return new State(
            string.Join('\n', identities.Select(each => $"{each.Identity} {each.Record?.ETag} {each.Record?.GenerationId} {each.Record?.StatusReason} {each.Record?.PrimaryKey}")),
            [.. identities.Select(each => (each.Identity, each.Record is not null))],
            identities.Count(each => each is { Record: not null, Identity.IsModule: false }));
    }

    private sealed record State(string Text, IReadOnlyList<(Identity Identity, bool IsThere)> Identities, long Devices);
}
