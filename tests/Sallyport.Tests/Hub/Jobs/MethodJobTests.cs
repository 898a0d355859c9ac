using Sallyport.Hub.Jobs;
using Sallyport.Protocol.Identities;
using Sallyport.Storage.Metadata;

namespace Sallyport.Tests.Hub.Jobs;

/// <summary>Jobs that call methods.</summary>
public sealed class MethodJobTests
{
    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact]
    public async Task MethodJob_CallsEachDevice_AndKeepsWhatItAnswered()
    {
        await using var hub = await JobsFixture.OpenAsync(new JobOptions { CallsPerJob = 3 });
        await hub.FillAsync(8);
        var links = Enumerable.Range(0, 8).Select(i => hub.Connect($"d{i:000}")).ToList();
        await hub.MethodJobAsync("j1", payload: """{ "a" : [1.50] }""");

        await hub.RunAsync();

        var job = hub.Job("j1");
        Assert.Equal((JobStatus.Completed, 8, 8, 0, 0), (job.Status, job.Devices, job.Succeeded, job.Running, job.Pending));
        Assert.All(links, link => Assert.Equal(["""reboot { "a" : [1.50] }"""], link.Asked));
        var row = (await hub.RowsAsync("SELECT * FROM devices.jobs WHERE deviceId = 'd003' AND outcome.deviceMethodResponse.status = 200")).Single();
        Assert.Equal("""{"status":200,"payload":{"a":[1.50]}}""", row["outcome"]!["deviceMethodResponse"]!.ToJsonString());
        Assert.Equal(("completed", "scheduleDeviceMethod", "j1"), ((string?)row["status"], (string?)row["jobType"], (string?)row["jobId"]));
    }

    [Fact]
    public async Task MethodJob_OfModules_CallsThem()
    {
        await using var hub = await JobsFixture.OpenAsync();
        await hub.FillAsync(1);
        await hub.PutAsync(Identity.Of("d000", "m1"));
        var (device, module) = (hub.Connect("d000"), hub.Connect("d000", "m1"));
        await hub.MethodJobAsync("j1", "FROM devices.modules WHERE deviceId = 'd000'");

        await hub.RunAsync();

        Assert.Equal((0, 1), (device.Asked.Length, module.Asked.Length));
        Assert.Equal(["d000/m1=completed"], await hub.OutcomesAsync("j1"));
    }

    [Fact]
    public async Task MethodJob_WaitsForDevicesThatAreAway_UntilTheyCome()
    {
        await using var hub = await JobsFixture.OpenAsync();
        await hub.FillAsync(3);
        hub.Connect("d000");
        await hub.MethodJobAsync("j1");
        hub.Time.ForgetWaits();
        var running = hub.RunAsync();
        await WaitingAsync(hub);
        Assert.Equal((1, 2), (hub.Job("j1").Succeeded, hub.Job("j1").Pending));

        hub.Connect("d002");
        hub.Connect("d001");
        await running;

        Assert.Equal((JobStatus.Completed, 3), (hub.Job("j1").Status, hub.Job("j1").Succeeded));
    }

    [Fact]
    public async Task MethodJob_OfDevicesThatDoNotComeWithinItsWindow_FailsThere()
    {
        await using var hub = await JobsFixture.OpenAsync();
        await hub.FillAsync(4);
        hub.Connect("d000");
        var silent = hub.Connect("d001", answer: _ => null);
        hub.Connect("d003").TakesMethods = false;
        await hub.MethodJobAsync("j1", seconds: 60, response: 300);
        hub.Time.ForgetWaits();
        var running = hub.RunAsync();
        await silent.First.Task.WaitAsync(Cancel);
        await WaitingAsync(hub, silent: 1);

        hub.Time.Advance(TimeSpan.FromSeconds(60));
        await running;

        Assert.Equal(
            ["d000=completed", "d001=failed GatewayTimeout", "d002=failed DeviceNotOnline", "d003=failed DeviceNotOnline"], await hub.OutcomesAsync("j1"));
        Assert.Equal((JobStatus.Completed, 1, 3), (hub.Job("j1").Status, hub.Job("j1").Succeeded, hub.Job("j1").Failed));
        var rows = await hub.RowsAsync("SELECT * FROM devices.jobs WHERE status = 'failed'");
        Assert.Contains("may have run the method", (string)rows[0]["error"]!["description"]!);
        Assert.Contains("was not connected, or did not take methods, until the job's time (60 s) was over", (string)rows[1]["error"]!["description"]!);
    }

    [Fact]
    public async Task MethodJob_OfADeviceThatDoesNotAnswer_FailsThereAfterItsTime_AndOfOneThatIsGone_AtOnce()
    {
        await using var hub = await JobsFixture.OpenAsync(new JobOptions { CallsPerJob = 1 });
        await hub.FillAsync(2);
        var silent = hub.Connect("d000", answer: _ => null);
        hub.Connect("d001", answer: _ => "not json");
        await hub.MethodJobAsync("j1", response: 5);
        hub.Time.ForgetWaits();
        var running = hub.RunAsync();
        await silent.First.Task.WaitAsync(Cancel);
        await hub.Time.WaitBeganAsync(TimeSpan.FromSeconds(5), TimeSpan.FromSeconds(5));
        hub.Time.Advance(TimeSpan.FromSeconds(5));
        await running;

        Assert.Equal(["d000=failed GatewayTimeout", "d001=failed BadDeviceResponse"], await hub.OutcomesAsync("j1"));
        Assert.Equal(JobStatus.Failed, hub.Job("j1").Status);
    }

    [Fact]
    public async Task MethodJob_OfADeviceThatWasDeletedBeforeItsTurn_FailsThereAtOnce()
    {
        await using var hub = await JobsFixture.OpenAsync();
        await hub.FillAsync(2);
        hub.Connect("d000");
        var isGone = false;
        hub.BetweenWrites = async () =>
        {
            if (!isGone && hub.Metadata.Read(tx => hub.Metadata.Jobs.Find(tx, "j1"))?.Pending == 2)
            {
                isGone = true;
                await hub.Metadata.WriteAsync(tx => hub.Metadata.Identities.Delete(tx, "d001", null));
            }
        };
        await hub.MethodJobAsync("j1");

        await hub.RunAsync();

        Assert.Equal(["d000=completed", "d001=failed DeviceNotFound"], await hub.OutcomesAsync("j1"));
    }

    [Fact]
    public async Task MethodJob_OfADeviceInQuarantine_WaitsUntilItIsOut()
    {
        await using var hub = await JobsFixture.OpenAsync();
        await hub.FillAsync(1);
        var link = hub.Connect("d000");
        hub.Line.Hold(new QuarantineRecord("d000", hub.Time.GetUtcNow(), "test", ""));
        await hub.MethodJobAsync("j1");
        hub.Time.ForgetWaits();
        var running = hub.RunAsync();
        await hub.Time.WaitBeganAsync(TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(1));
        Assert.Empty(link.Asked);

        hub.Line.Release("d000");
        hub.Time.Advance(TimeSpan.FromSeconds(1));
        await running;

        Assert.Single(link.Asked);
    }

    [Fact]
    public async Task MethodJob_ThatIsCancelled_DoesNotWaitForAnswers()
    {
        await using var hub = await JobsFixture.OpenAsync();
        await hub.FillAsync(2);
        var silent = hub.Connect("d000", answer: _ => null);
        await hub.MethodJobAsync("j1");
        var running = hub.RunAsync();
        await silent.First.Task.WaitAsync(Cancel);

        await hub.Jobs.CancelAsync(JobsFixture.Owner, "j1", Cancel);
        await running;

        Assert.Equal((JobStatus.Cancelled, 2, 0), (hub.Job("j1").Status, hub.Job("j1").Canceled, hub.Job("j1").Running));
        Assert.Equal(0, hub.Methods.Pending);
    }

    [Fact]
    public async Task MethodJob_WithMoreArrivalsThanAreRemembered_LooksAtAll()
    {
        await using var hub = await JobsFixture.OpenAsync(new JobOptions { MaxArrivals = 2 });
        await hub.FillAsync(5);
        await hub.MethodJobAsync("j1");
        hub.Time.ForgetWaits();
        var running = hub.RunAsync();
        await WaitingAsync(hub);

        for (var i = 0; i < 5; i++)
            hub.Connect($"d{i:000}");
        await running;

        Assert.Equal(5, hub.Job("j1").Succeeded);
    }

    [Fact]
    public async Task MethodJob_ThatOnlyWaits_KeepsNoOtherJobFromRunning()
    {
        await using var hub = await JobsFixture.OpenAsync(new JobOptions { MaxRunning = 1 });
        await hub.FillAsync(1);
        await hub.MethodJobAsync("j1");
        await hub.TwinJobAsync("j2");
        var ended = new TaskCompletionSource();
        hub.BetweenWrites = () =>
        {
            if (hub.Job("j2").Status is JobStatus.Completed)
                ended.TrySetResult();
            return Task.CompletedTask;
        };
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(Cancel);
        hub.Time.ForgetWaits();
        var loop = hub.Jobs.RunAsync(stop.Token);
        await WaitingAsync(hub);

        hub.Time.Advance(ScheduledJobs.UpkeepInterval);
        await ended.Task.WaitAsync(Cancel);

        Assert.Equal((JobStatus.Running, 1), (hub.Job("j1").Status, hub.Job("j1").Pending));
        await stop.CancelAsync();
        await loop;
    }

    [Fact]
    public async Task Answer_LargerThanIsKept_IsCountedAndNotKept()
    {
        await using var hub = await JobsFixture.OpenAsync(new JobOptions { MaxPayloadBytes = 10 });
        await hub.FillAsync(2);
        hub.Connect("d000", answer: _ => "\"12345678\"");
        hub.Connect("d001", answer: _ => "\"123456789\"");
        await hub.MethodJobAsync("j1");

        await hub.RunAsync();

        var rows = await hub.RowsAsync("SELECT * FROM devices.jobs WHERE jobId = 'j1'");
        Assert.Equal(["""{"status":200,"payload":"12345678"}""", """{"status":200,"payload":null,"payloadIsTooLarge":true}"""], rows.Select(row => row["outcome"]!["deviceMethodResponse"]!.ToJsonString()));
    }

    [Fact]
    public async Task MethodJob_AfterARestart_CallsAgainWhatWasBeingCalled_AndNobodyElse()
    {
        await using var hub = await JobsFixture.OpenAsync();
        await hub.FillAsync(3);
        var answered = hub.Connect("d000");
        var silent = hub.Connect("d001", answer: _ => null);
        await hub.MethodJobAsync("j1");
        hub.Time.ForgetWaits();
        using var die = CancellationTokenSource.CreateLinkedTokenSource(Cancel);
        var running = hub.Jobs.RunDueAsync(die.Token);
        await silent.First.Task.WaitAsync(Cancel);
        await WaitingAsync(hub, silent: 1);
        Assert.Equal((1, 1, 1), (hub.Job("j1").Succeeded, hub.Job("j1").Running, hub.Job("j1").Pending));
        await die.CancelAsync();
        await running;

        await hub.RestartAsync();
        var (again, other, third) = (hub.Connect("d000"), hub.Connect("d001"), hub.Connect("d002"));
        await hub.RunAsync();

        Assert.Equal((1, 0, 1, 1), (answered.Asked.Length, again.Asked.Length, other.Asked.Length, third.Asked.Length));
        Assert.Equal((JobStatus.Completed, 3), (hub.Job("j1").Status, hub.Job("j1").Succeeded));
    }

    // It has called whoever is there, so many do not answer, and it waits for the others.
    private static async Task WaitingAsync(JobsFixture hub, int silent = 0)
    {
        do
            await hub.Time.WaitBeganAsync(TimeSpan.FromSeconds(30), TimeSpan.FromSeconds(30));
        while (hub.Job("j1").Running != silent);
    }
}
