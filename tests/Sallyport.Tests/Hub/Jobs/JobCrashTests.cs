using Sallyport.Hub.Jobs;
using Sallyport.Storage.EventLog;
using Sallyport.Storage.Metadata;

namespace Sallyport.Tests.Hub.Jobs;

/// <summary>The hub dies between any two writes of a job, and in the middle of them; what is left is carried out by another.</summary>
public sealed class JobCrashTests
{
    private const int Devices = 9;

    private static readonly JobOptions Options = new() { DevicesPerWrite = 2, ChosenPerWrite = 3, CallsPerJob = 2 };

    [Fact]
    public async Task TwinJob_OfAHubThatDies_IsDoneOnEachDeviceOnce_WithOneEvent()
    {
        await using var hub = await JobsFixture.OpenAsync(Options);
        await hub.FillAsync(Devices);
        var made = false;
        hub.BetweenWrites = async () =>
        {
            await using var after = await hub.AfterCrashAsync();
            if (after.Metadata.Read(tx => after.Metadata.Jobs.Find(tx, "j1")) is null)
            {
                Assert.False(made, "an accepted job was lost");
                return;
            }

            await after.RunAsync();
            AssertDone(after);
        };
        await hub.TwinJobAsync("j1", patch: """{"tags":{"t":1},"properties":{"desired":{"a":1}}}""");
        made = true;

        await hub.RunAsync();

        AssertDone(hub);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public async Task TwinJob_OfAHubThatDiesAgainAndAgain_IsDoneOnEachDeviceOnce(int seed)
    {
        var random = new Random(seed);
        List<JobsFixture> hubs = [await JobsFixture.OpenAsync(Options)];
        try
        {
            await hubs[0].FillAsync(Devices);
            await hubs[0].TwinJobAsync("j1");
            for (var deaths = 0; deaths < 6; deaths++)
            {
                var writes = random.Next(1, 7);
                JobsFixture? after = null;
                var hub = hubs[^1];
                hub.BetweenWrites = async () =>
                {
                    if (after is null && --writes == 0)
                        after = await hub.AfterCrashAsync();
                };
                await hub.RunAsync();
                AssertDone(hub);
                if (after is null)
                    return;
                hubs.Add(after);
            }

            await hubs[^1].RunAsync();
            AssertDone(hubs[^1]);
        }
        finally
        {
            // Those that came after another one have their files beside its own.
            for (var i = hubs.Count - 1; i >= 0; i--)
                await hubs[i].DisposeAsync();
        }
    }

    [Fact]
    public async Task MethodJob_OfAHubThatDies_CallsEachDeviceThatHasNotAnswered_AndNoOther()
    {
        await using var hub = await JobsFixture.OpenAsync(Options);
        await hub.FillAsync(Devices);
        var links = Enumerable.Range(0, Devices).Select(i => hub.Connect($"d{i:000}")).ToList();
        var gate = new SemaphoreSlim(1);
        hub.BetweenWrites = async () =>
        {
            await gate.WaitAsync();
            try
            {
                await using var after = await hub.AfterCrashAsync();
                if (after.Metadata.Read(tx => after.Metadata.Jobs.Find(tx, "j1")) is not { } job)
                    return;

                var done = after.Metadata.Read(tx => after.Metadata.Jobs.ListDevices(tx, job.Sequence, JobDeviceStatus.Completed, ("", ""), 100)).Select(row => row.DeviceId).ToHashSet();
                var again = Enumerable.Range(0, Devices).Select(i => after.Connect($"d{i:000}")).ToList();
                await after.RunAsync();
                Assert.Equal((JobStatus.Completed, Devices, 0, 0), (after.Job("j1").Status, after.Job("j1").Succeeded, after.Job("j1").Pending, after.Job("j1").Running));
                Assert.All(again, link => Assert.Equal(done.Contains(link.Identity.DeviceId) ? 0 : 1, link.Asked.Length));
            }
            finally
            {
                gate.Release();
            }
        };
        await hub.MethodJobAsync("j1");

        await hub.RunAsync();

        Assert.Equal((JobStatus.Completed, Devices), (hub.Job("j1").Status, hub.Job("j1").Succeeded));
        Assert.All(links, link => Assert.Single(link.Asked));
    }

    [Fact]
    public async Task CancelledJob_OfAHubThatDies_StaysCancelled_AndItsCountsAddUp()
    {
        await using var hub = await JobsFixture.OpenAsync(Options);
        await hub.FillAsync(Devices);
        var cancelled = false;
        hub.BetweenWrites = async () =>
        {
            if (!cancelled && hub.Metadata.Read(tx => hub.Metadata.Jobs.Find(tx, "j1"))?.Succeeded == 4)
            {
                cancelled = true;
                await hub.Jobs.CancelAsync(JobsFixture.Owner, "j1", CancellationToken.None);
            }
            else if (cancelled && hub.Metadata.Read(tx => hub.Metadata.Jobs.Find(tx, "j1")) is { Status: JobStatus.Cancelled })
            {
                await using var after = await hub.AfterCrashAsync();
                await after.RunAsync();
                Assert.Equal((JobStatus.Cancelled, 4, 5, 0), (after.Job("j1").Status, after.Job("j1").Succeeded, after.Job("j1").Canceled, after.Job("j1").Pending));
                Assert.Equal(4, Enumerable.Range(0, Devices).Count(i => after.Twin($"d{i:000}").Desired.Version == 2));
            }
        };
        await hub.TwinJobAsync("j1");

        await hub.RunAsync();

        Assert.Equal((JobStatus.Cancelled, 4, 5, 0), (hub.Job("j1").Status, hub.Job("j1").Succeeded, hub.Job("j1").Canceled, hub.Job("j1").Pending));
    }

    private static void AssertDone(JobsFixture hub)
    {
        var job = hub.Job("j1");
        Assert.Equal((JobStatus.Completed, Devices, Devices, 0, 0), (job.Status, job.Devices, job.Succeeded, job.Failed, job.Pending));
        for (var i = 0; i < Devices; i++)
            Assert.Equal((2, """{"a":1}"""), (hub.Twin($"d{i:000}").Desired.Version, hub.DesiredOf($"d{i:000}")));
        var told = hub.Metadata.Read(tx => hub.Metadata.Outbox.Peek(tx, 1000)).Where(one => one.Stream == StreamId.Changes.Number).Select(one => one.DeviceId).ToList();
        Assert.Equal(Devices, told.Count);
        Assert.Equal(Devices, told.Distinct().Count());
    }
}
