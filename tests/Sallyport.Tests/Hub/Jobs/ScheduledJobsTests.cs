using System.Text;
using System.Text.Json;
using Sallyport.Hub.Access;
using Sallyport.Hub.Jobs;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Storage.EventLog;
using Sallyport.Storage.Metadata;

namespace Sallyport.Tests.Hub.Jobs;

/// <summary>Jobs that change twins, and what is the same for all jobs.</summary>
public sealed class ScheduledJobsTests
{
    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact]
    public async Task TwinJob_ChangesEachTwinOnce_AndCountsThem()
    {
        await using var hub = await JobsFixture.OpenAsync(new JobOptions { DevicesPerWrite = 4, ChosenPerWrite = 3 });
        await hub.FillAsync(10);
        var made = await hub.TwinJobAsync("j1", patch: """{"tags":{"t":[1]},"properties":{"desired":{"a":{"b":1}}},"etag":"*"}""");
        Assert.Equal(JobStatus.Queued, made.Status);

        await hub.RunAsync();

        var job = hub.Job("j1");
        Assert.Equal((JobStatus.Completed, 10, 10, 0, 0, 0), (job.Status, job.Devices, job.Succeeded, job.Failed, job.Pending, job.Running));
        Assert.Null(job.FailureReason);
        Assert.NotNull(job.EndTime);
        for (var i = 0; i < 10; i++)
        {
            Assert.Equal("""{"a":{"b":1}}""", hub.DesiredOf($"d{i:000}"));
            Assert.Equal("""{"t":[1]}""", hub.TagsOf($"d{i:000}"));
            Assert.Equal(2, hub.Twin($"d{i:000}").Desired.Version);
        }

        Assert.Equal(10, hub.Metadata.Read(tx => hub.Metadata.Outbox.Peek(tx, 100).Count(one => one.Stream == StreamId.Changes.Number)));
        Assert.All(await hub.OutcomesAsync("j1"), outcome => Assert.EndsWith("=completed", outcome));
    }

    [Fact]
    public async Task TwinJob_ThatChangesWhatItChoseBy_IsDoneForAllThatItWasTrueOf()
    {
        await using var hub = await JobsFixture.OpenAsync(new JobOptions { DevicesPerWrite = 2, ChosenPerWrite = 3 });
        await hub.FillAsync(8, """{"state":"old"}""");
        await hub.PutAsync(Identity.Of("other"), tags: """{"state":"new"}""");
        await hub.TwinJobAsync("j1", "tags.state = 'old'", """{"tags":{"state":"new"}}""");

        await hub.RunAsync();

        Assert.Equal(8, hub.Job("j1").Succeeded);
        Assert.Equal(1, hub.Twin("other").ETag);
    }

    [Theory]
    [InlineData("deviceId IN ['d001','d003']", "d001 d003")]
    [InlineData("FROM devices WHERE deviceId = 'd002'", "d002")]
    [InlineData("FROM devices.modules", "d001/m1 d001/m2")]
    [InlineData("FROM devices.modules WHERE devices.modules.moduleId = 'm2'", "d001/m2")]
    [InlineData("properties.reported.x = 1", "")]
    public async Task Job_IsForThoseThatItsConditionIsTrueOf(string condition, string expected)
    {
        await using var hub = await JobsFixture.OpenAsync();
        await hub.FillAsync(4);
        await hub.PutAsync(Identity.Of("d001", "m1"));
        await hub.PutAsync(Identity.Of("d001", "m2"));
        await hub.TwinJobAsync("j1", condition);

        await hub.RunAsync();

        Assert.Equal(expected.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(name => $"{name}=completed"), await hub.OutcomesAsync("j1"));
        Assert.Equal(JobStatus.Completed, hub.Job("j1").Status);
    }

    [Fact]
    public async Task Job_TellsConnectedDevices_AndIsInTheTrail_InTheNameOfItsCreator()
    {
        await using var hub = await JobsFixture.OpenAsync();
        await hub.FillAsync(2);
        var link = new Sallyport.Tests.Hub.Registry.TestLink(Identity.Of("d000"), hub.Connected);
        hub.Connected.Attach(link);
        await hub.TwinJobAsync("j1");

        await hub.RunAsync();

        Assert.Equal(["""{"a":1,"$version":2}"""], link.Desired);
        var acts = hub.Audit.Entries.Where(entry => entry.CorrelationId == "c0ffee").ToList();
        Assert.Equal(
            ["job create j1 *", "job start j1", "device twin-update d000", "device twin-update d001", "job end j1 completed: 2 of 2 succeeded, 0 failed, 0 canceled"],
            acts.Select(entry => $"{entry.Action} {entry.Target}"));
        Assert.All(acts, entry => Assert.Equal(("policy:iothubowner", "done"), (entry.Principal, entry.Result)));
        Assert.All(acts.Skip(1), entry => Assert.Equal("job j1", entry.Peer));
    }

    [Fact]
    public async Task Job_OfOneTwinThatWouldBeTooLarge_FailsThere_AndGoesOn()
    {
        await using var hub = await JobsFixture.OpenAsync();
        await hub.FillAsync(3);
        var big = JsonSerializer.Serialize(Enumerable.Range(0, 9).ToDictionary(i => $"k{i}", _ => new string('x', 3500)));
        await hub.PutAsync(Identity.Of("d001"));
        await hub.TwinJobAsync("first", "deviceId = 'd001'", $$"""{"properties":{"desired":{{big}} } }""");
        await hub.RunAsync();

        await hub.TwinJobAsync("j1", patch: $$"""{"properties":{"desired":{"a":"{{new string('y', 3000)}}"} } }""");
        await hub.RunAsync();

        var job = hub.Job("j1");
        Assert.Equal((JobStatus.Completed, 2, 1), (job.Status, job.Succeeded, job.Failed));
        Assert.Equal(["d000=completed", "d001=failed ArgumentInvalid", "d002=completed"], await hub.OutcomesAsync("j1"));
        var row = (await hub.RowsAsync("SELECT * FROM devices.jobs WHERE status = 'failed'")).Single();
        Assert.Contains("properties.desired", (string)row["error"]!["description"]!);
        Assert.Contains(hub.Audit.Entries, entry => entry is { Action: "device twin-update", Target: "d001", Result: "refused" });
    }

    [Fact]
    public async Task Job_OnNoDevice_Succeeds_AndOnNoneOfThemThatItWasFor_Fails()
    {
        await using var hub = await JobsFixture.OpenAsync();
        await hub.TwinJobAsync("none");
        await hub.RunAsync();
        Assert.Equal((JobStatus.Completed, 0), (hub.Job("none").Status, hub.Job("none").Devices));

        await hub.FillAsync(1);
        var gone = false;
        hub.BetweenWrites = async () =>
        {
            if (!gone && hub.Metadata.Read(tx => hub.Metadata.Jobs.Find(tx, "all"))?.Pending == 1)
            {
                gone = true;
                await hub.Metadata.WriteAsync(tx => hub.Metadata.Identities.Delete(tx, "d000", null));
            }
        };
        await hub.TwinJobAsync("all");
        await hub.RunAsync();

        var job = hub.Job("all");
        Assert.Equal((JobStatus.Failed, "it succeeded on no device"), (job.Status, job.FailureReason));
        Assert.Equal(["d000=failed DeviceNotFound"], await hub.OutcomesAsync("all"));
    }

    [Fact]
    public async Task Job_DoesNotTouchANamesakeMadeSinceItWasChosen()
    {
        await using var hub = await JobsFixture.OpenAsync();
        await hub.FillAsync(2);
        var anew = false;
        hub.BetweenWrites = async () =>
        {
            if (!anew && hub.Metadata.Read(tx => hub.Metadata.Jobs.Find(tx, "j1"))?.Pending == 2)
            {
                anew = true;
                await hub.PutAsync(Identity.Of("d001"), generation: "2");
            }
        };
        await hub.TwinJobAsync("j1");

        await hub.RunAsync();

        Assert.Equal(["d000=completed", "d001=failed DeviceNotFound"], await hub.OutcomesAsync("j1"));
        Assert.Equal(1, hub.Twin("d001").ETag);
    }

    [Fact]
    public async Task Job_InTheFuture_WaitsForItsTime()
    {
        await using var hub = await JobsFixture.OpenAsync();
        await hub.FillAsync(1);
        var job = await hub.TwinJobAsync("j1", start: hub.Time.GetUtcNow().AddHours(1));
        Assert.Equal(JobStatus.Scheduled, job.Status);

        await hub.RunAsync();
        Assert.Equal(JobStatus.Scheduled, hub.Job("j1").Status);
        Assert.Equal("{}", hub.DesiredOf("d000"));

        hub.Time.Advance(TimeSpan.FromHours(1));
        await hub.RunAsync();
        Assert.Equal(JobStatus.Completed, hub.Job("j1").Status);
    }

    [Fact]
    public async Task Job_WhoseWindowWasOverBeforeTheHubCameBack_Fails_AndDoesNothing()
    {
        await using var hub = await JobsFixture.OpenAsync();
        await hub.FillAsync(1);
        await hub.TwinJobAsync("j1", seconds: 60);
        hub.Time.Advance(TimeSpan.FromSeconds(61));

        await hub.RunAsync();

        Assert.Equal((JobStatus.Failed, "its time was over before its devices were chosen"), (hub.Job("j1").Status, hub.Job("j1").FailureReason));
        Assert.Equal("{}", hub.DesiredOf("d000"));
    }

    [Fact]
    public async Task Job_WhoseWindowEnds_FailsOnWhatIsNotDone_AndSaysSo()
    {
        await using var hub = await JobsFixture.OpenAsync(new JobOptions { DevicesPerWrite = 1 });
        await hub.FillAsync(3);
        hub.BetweenWrites = () =>
        {
            if (hub.Metadata.Read(tx => hub.Metadata.Jobs.Find(tx, "j1"))?.Succeeded == 1)
                hub.Time.Advance(TimeSpan.FromSeconds(120));
            return Task.CompletedTask;
        };
        await hub.TwinJobAsync("j1", seconds: 60);

        await hub.RunAsync();

        var job = hub.Job("j1");
        Assert.Equal((JobStatus.Completed, 1, 2, 0), (job.Status, job.Succeeded, job.Failed, job.Pending));
        Assert.Equal(["d000=completed", "d001=failed JobTimedOut", "d002=failed JobTimedOut"], await hub.OutcomesAsync("j1"));
        Assert.Contains("(60 s) was over before its turn", (string)(await hub.RowsAsync("SELECT * FROM devices.jobs WHERE deviceId = 'd002'")).Single()["error"]!["description"]!);
    }

    [Fact]
    public async Task Cancel_OfAScheduledJob_EndsItAtOnce_AndAgainSaysSo()
    {
        await using var hub = await JobsFixture.OpenAsync();
        await hub.FillAsync(1);
        await hub.TwinJobAsync("j1", start: hub.Time.GetUtcNow().AddHours(1));

        var cancelled = await hub.Jobs.CancelAsync(JobsFixture.Owner, "j1", Cancel);
        await hub.Jobs.CancelAsync(JobsFixture.Owner, "j1", Cancel);
        hub.Time.Advance(TimeSpan.FromHours(2));
        await hub.RunAsync();

        Assert.Equal(JobStatus.Cancelled, cancelled.Status);
        Assert.Equal("{}", hub.DesiredOf("d000"));
        Assert.Single(hub.Audit.Entries, entry => entry.Action == "job cancel");
    }

    [Fact]
    public async Task Cancel_OfARunningJob_KeepsWhatIsDone_AndDoesNoMore()
    {
        await using var hub = await JobsFixture.OpenAsync(new JobOptions { DevicesPerWrite = 2 });
        await hub.FillAsync(7);
        var isCancelled = false;
        hub.BetweenWrites = async () =>
        {
            if (!isCancelled && hub.Metadata.Read(tx => hub.Metadata.Jobs.Find(tx, "j1"))?.Succeeded == 4)
            {
                isCancelled = true;
                Assert.Equal(JobStatus.Cancelled, (await hub.Jobs.CancelAsync(JobsFixture.Owner, "j1", Cancel)).Status);
            }
        };
        await hub.TwinJobAsync("j1");

        await hub.RunAsync();

        var job = hub.Job("j1");
        Assert.Equal((JobStatus.Cancelled, 4, 3, 0, 0), (job.Status, job.Succeeded, job.Canceled, job.Failed, job.Pending));
        Assert.Equal(["d004=canceled", "d005=canceled", "d006=canceled"], (await hub.OutcomesAsync("j1"))[4..]);
        Assert.Equal("{}", hub.DesiredOf("d006"));
    }

    [Fact]
    public async Task Cancel_OfAJobThatEnded_OrIsNot_IsRefused()
    {
        await using var hub = await JobsFixture.OpenAsync();
        await hub.TwinJobAsync("j1");
        await hub.RunAsync();

        Assert.Contains("has ended", await JobsFixture.RefusedAsync(HubErrors.ArgumentInvalid, () => hub.Jobs.CancelAsync(JobsFixture.Owner, "j1", Cancel).AsTask()));
        await JobsFixture.RefusedAsync(HubErrors.JobNotFound, () => hub.Jobs.CancelAsync(JobsFixture.Owner, "j2", Cancel).AsTask());
        await JobsFixture.RefusedAsync(HubErrors.JobNotFound, () => Task.FromResult(hub.Job("J1")));
    }

    [Fact]
    public async Task Create_OfAnIdThatIsThere_IsRefused_AlsoWhenThatJobEnded()
    {
        await using var hub = await JobsFixture.OpenAsync();
        await hub.TwinJobAsync("j1");
        await hub.RunAsync();

        await JobsFixture.RefusedAsync(HubErrors.JobAlreadyExists, () => hub.TwinJobAsync("j1"));
    }

    [Fact]
    public async Task Create_WithoutATrail_IsRefused_AndAJobWaitsForIt()
    {
        await using var hub = await JobsFixture.OpenAsync();
        await hub.FillAsync(1);
        hub.Audit.IsBroken = true;
        await JobsFixture.RefusedAsync(HubErrors.ServiceUnavailable, () => hub.TwinJobAsync("j0"));

        hub.Audit.IsBroken = false;
        await hub.TwinJobAsync("j1");
        hub.Audit.IsBroken = true;
        hub.Time.ForgetWaits();
        var running = hub.RunAsync();
        await hub.Time.WaitBeganAsync(TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(1));
        Assert.Equal("{}", hub.DesiredOf("d000"));
        hub.Audit.IsBroken = false;
        hub.Time.Advance(TimeSpan.FromSeconds(1));
        await running;

        Assert.Equal(JobStatus.Completed, hub.Job("j1").Status);
    }

    [Fact]
    public async Task Jobs_BeyondThoseThatMayBe_AreRefused_AndBeyondThoseThatRun_Wait()
    {
        await using var hub = await JobsFixture.OpenAsync(new JobOptions { MaxOpen = 3, MaxRunning = 1 });
        await hub.FillAsync(2);
        var later = hub.Time.GetUtcNow().AddMinutes(1);
        for (var i = 0; i < 3; i++)
            await hub.TwinJobAsync($"j{i}", start: later);
        await JobsFixture.RefusedAsync(HubErrors.MaxActiveJobCountExceeded, () => hub.TwinJobAsync("j3"));

        HashSet<string> seen = [];
        hub.BetweenWrites = () =>
        {
            seen.Add(string.Join(' ', Enumerable.Range(0, 3).Select(i => hub.Job($"j{i}").Status)));
            return Task.CompletedTask;
        };
        hub.Time.Advance(TimeSpan.FromMinutes(2));
        await hub.RunAsync();

        Assert.Contains("Running Queued Queued", seen);
        Assert.Contains("Completed Running Queued", seen);
        Assert.DoesNotContain(seen, states => states.Split(' ').Count(state => state == "Running") > 1);
        Assert.Equal(JobStatus.Completed, hub.Job("j2").Status);
        await hub.TwinJobAsync("j3");
    }

    [Fact]
    public async Task Job_ForMoreDevicesThanItMay_Fails_AndTouchesNone()
    {
        await using var hub = await JobsFixture.OpenAsync(new JobOptions { MaxDevices = 5, ChosenPerWrite = 2 });
        await hub.FillAsync(6);
        await hub.TwinJobAsync("j1");

        await hub.RunAsync();

        var job = hub.Job("j1");
        Assert.Equal((JobStatus.Failed, "it is for more than 5 devices", 0, 0), (job.Status, job.FailureReason, job.Succeeded, job.Pending));
        Assert.Equal("{}", hub.DesiredOf("d000"));
        Assert.All(await hub.OutcomesAsync("j1"), outcome => Assert.EndsWith("=failed JobFailed", outcome));
    }

    [Fact]
    public async Task Outcomes_BeyondThoseThatMayBeKept_Go_TheOldestFirst_AndTheJobStays()
    {
        await using var hub = await JobsFixture.OpenAsync(new JobOptions { MaxOutcomes = 10 });
        await hub.FillAsync(6);
        await hub.TwinJobAsync("j1");
        await hub.RunAsync();
        await hub.TwinJobAsync("j2");
        await hub.RunAsync();
        Assert.Equal((JobStatus.Failed, "the hub keeps the outcomes of 10 devices of jobs, as many as it may"), (hub.Job("j2").Status, hub.Job("j2").FailureReason));

        await hub.TwinJobAsync("j3", "deviceId IN ['d000','d001','d002','d003']");
        await hub.RunAsync();
        while (await hub.Jobs.TidyAsync())
        {
        }

        Assert.Equal((6, 0), (hub.Job("j1").Succeeded, (await hub.OutcomesAsync("j1")).Length));
        Assert.Equal(4, (await hub.OutcomesAsync("j3")).Length);
    }

    [Fact]
    public async Task Jobs_ThatEndedLongAgo_AndMoreThanMayBeKept_AreForgotten()
    {
        await using var hub = await JobsFixture.OpenAsync(new JobOptions { MaxKept = 2 });
        await hub.FillAsync(2);
        for (var i = 0; i < 4; i++)
            await hub.TwinJobAsync($"j{i}");
        await hub.RunAsync();
        await hub.TwinJobAsync("later", start: hub.Time.GetUtcNow().AddDays(40));

        while (await hub.Jobs.TidyAsync())
        {
        }

        Assert.Equal(["later", "j3"], hub.Jobs.List(Scope.Everything, null, null, null, 10, long.MaxValue).Jobs.Select(job => job.JobId));
        Assert.Equal(2, (await hub.RowsAsync("SELECT * FROM devices.jobs")).Count);

        hub.Time.Advance(hub.Options.History + TimeSpan.FromSeconds(1));
        while (await hub.Jobs.TidyAsync())
        {
        }

        Assert.Equal(["later"], hub.Jobs.List(Scope.Everything, null, null, null, 10, long.MaxValue).Jobs.Select(job => job.JobId));
        Assert.Empty(await hub.RowsAsync("SELECT * FROM devices.jobs"));
    }

    [Fact]
    public async Task List_FiltersAndPages_TheNewestFirst()
    {
        await using var hub = await JobsFixture.OpenAsync();
        for (var i = 0; i < 3; i++)
            await hub.TwinJobAsync($"t{i}");
        await hub.RunAsync();
        await hub.MethodJobAsync("m0", "deviceId = 'nobody'");
        await hub.TwinJobAsync("t3", start: hub.Time.GetUtcNow().AddHours(1));

        var (first, next) = hub.Jobs.List(Scope.Everything, JobType.ScheduleUpdateTwin, null, null, 2, long.MaxValue);
        var (second, end) = hub.Jobs.List(Scope.Everything, JobType.ScheduleUpdateTwin, null, next, 2, long.MaxValue);

        Assert.Equal(["t3", "t2", "t1", "t0"], first.Concat(second).Select(job => job.JobId));
        Assert.Null(end);
        Assert.Equal(["t2", "t1", "t0"], hub.Jobs.List(Scope.Everything, null, JobStatus.Completed, null, 10, long.MaxValue).Jobs.Select(job => job.JobId));
        Assert.Equal(["t3"], hub.Jobs.List(Scope.Everything, null, null, null, 10, maxBytes: 1).Jobs.Select(job => job.JobId));
    }

    [Theory]
    [InlineData(JobType.ScheduleUpdateTwin, "*", "{}", "what it is to do cannot be done: updateTwin: neither tags nor properties.desired are given")]
    [InlineData(JobType.ScheduleUpdateTwin, "tags.a ==", "{}", "what it is to do cannot be done: queryCondition: query, line 1, column 9: found '='")]
    [InlineData(JobType.ScheduleDeviceMethod, "*", "{", "the hub failed; its log says how")]
    public async Task Job_ThatCannotBeRead_AsAfterAnotherVersion_FailsAlone(JobType type, string condition, string act, string reason)
    {
        await using var hub = await JobsFixture.OpenAsync();
        await hub.FillAsync(1);
        var good = await hub.TwinJobAsync("good");
        await hub.Metadata.WriteAsync(tx => hub.Metadata.Jobs.Add(tx, good with { JobId = "bad", Type = type, QueryCondition = condition, Act = Encoding.UTF8.GetBytes(act) }));
        hub.Time.ForgetWaits();

        var running = hub.RunAsync();
        await hub.Time.WaitBeganAsync(TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(1));
        hub.Time.Advance(TimeSpan.FromSeconds(1));
        await running;

        Assert.Equal(JobStatus.Failed, hub.Job("bad").Status);
        Assert.StartsWith(reason, hub.Job("bad").FailureReason);
        Assert.Equal(JobStatus.Completed, hub.Job("good").Status);
    }

    [Fact]
    public async Task Loop_RunsWhatIsMadeWhileItRuns_AndStopsWhereItIs()
    {
        await using var hub = await JobsFixture.OpenAsync();
        await hub.FillAsync(1);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(Cancel);
        var ended = new TaskCompletionSource();
        hub.BetweenWrites = () =>
        {
            if (hub.Metadata.Read(tx => hub.Metadata.Jobs.Find(tx, "j1")) is { Status: JobStatus.Completed })
                ended.TrySetResult();
            return Task.CompletedTask;
        };
        var loop = hub.Jobs.RunAsync(stop.Token);
        await hub.TwinJobAsync("j1");
        await ended.Task.WaitAsync(Cancel);

        await hub.MethodJobAsync("waits");
        await stop.CancelAsync();
        await loop;

        Assert.Equal(JobStatus.Completed, hub.Job("j1").Status);
        Assert.True(hub.Job("waits").Status <= JobStatus.Running);
    }
}
