using Sallyport.Hub.Registry;
using Sallyport.Protocol.Errors;
using Sallyport.Storage.Metadata;

namespace Sallyport.Tests.Hub.Registry;

/// <summary>The hub dies between any two steps of making, moving and deleting edge devices and what is below them.</summary>
public sealed class ParentCrashTests
{
    private const int Steps = 40;

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(5)]
    [InlineData(6)]
    public async Task Hub_ThatDies_HasNoParentThatIsNot_AndLosesNothingThatWasAnswered(int seed)
    {
        await using var hub = await RegistryFixture.OpenAsync();
        var random = new Random(seed);
        var crashes = 0;
        for (var step = 0; step < Steps; step++)
        {
            var act = ActAsync(hub, random);
            await DieAsync(hub, ++crashes);
            try
            {
                await act;
            }
            catch (HubException)
            {
                continue; // Against a rule: nothing was done.
            }

            var now = StateOf(hub.Metadata);
            Assert.Equal(now, await DieAsync(hub, ++crashes));
        }
    }

    private static Task ActAsync(RegistryFixture hub, Random random)
    {
        var (id, other) = ($"d{random.Next(8)}", $"d{random.Next(8)}");
        var scope = hub.Stored(other)?.DeviceScope ?? "";
        return random.Next(8) switch
        {
            0 => hub.DeleteAsync(id),
            1 => hub.ChangeAsync(id, null, PutMode.CreateOrUpdate, new IdentityDraft { IotEdge = false }),
            2 or 3 => hub.ChangeAsync(id, null, PutMode.CreateOrUpdate, new IdentityDraft { IotEdge = true }),
            4 => hub.ChangeAsync(id, null, PutMode.CreateOrUpdate, new IdentityDraft { ParentScopes = new Given<IReadOnlyList<string>>(true, []) }),
            _ => hub.ChangeAsync(id, null, PutMode.CreateOrUpdate, new IdentityDraft { ParentScopes = new Given<IReadOnlyList<string>>(true, scope.Length == 0 ? [] : [scope]) }),
        };
    }

    // What is on disk this moment, as another process finds it.
    private static async Task<string> DieAsync(RegistryFixture hub, int number)
    {
        await using var after = await hub.AfterCrashAsync(number);
        after.Read(tx =>
        {
            foreach (var device in after.Identities.ListDevices(tx, null, 100).Where(device => device.ParentScopes.Count > 0))
                Assert.NotNull(ParentRules.FindParent(after, tx, device));
            foreach (var device in after.Identities.ListDevices(tx, null, 100))
                Assert.Equal(device.IotEdge ? ["$edgeAgent", "$edgeHub"] : [], after.Identities.ListModules(tx, device.DeviceId).Select(module => module.ModuleId));
            return true;
        });
        return StateOf(after);
    }

    private static string StateOf(SqliteMetadata metadata) => metadata.Read(tx => string.Join('\n', metadata.Identities.ListDevices(tx, null, 100)
        .Select(device => $"{device.DeviceId} {device.GenerationId} {device.ETag} {device.DeviceScope} {string.Join(' ', device.ParentScopes)}")));
}
