using Sallyport.Hub.Access;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Registry;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Storage.Metadata;

namespace Sallyport.Tests.Hub.Jobs;

/// <summary>Nobody schedules what they do not hold, and a job does what its creator may do when it is done.</summary>
public sealed class JobRightsTests
{
    private const Rights TwinJobs = Rights.JobManage | Rights.TwinWrite;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(Rights.JobManage | Rights.TwinRead | Rights.MethodInvoke, true, "*", "twin-write")]
    [InlineData(Rights.JobManage | Rights.TwinRead | Rights.TwinWrite, false, "*", "method-invoke")]
    [InlineData(Rights.JobManage | Rights.TwinWrite, true, "tags.secret = 'x'", "twin-read")]
    [InlineData(Rights.JobManage | Rights.TwinWrite, true, "deviceId = 'd000' AND status = 'enabled'", "twin-read")]
    [InlineData(Rights.JobManage | Rights.MethodInvoke, false, "deviceId IN ['d000']", null)]
    [InlineData(Rights.JobManage | Rights.TwinWrite, true, "*", null)]
    public async Task Create_NeedsWhatTheJobDoes_AndReadsBy(Rights held, bool ofTwins, string condition, string? missing)
    {
        await using var hub = await JobsFixture.OpenAsync();
        var actor = await hub.PolicyAsync("p", held);

        Task<JobRecord> Create() => ofTwins ? hub.TwinJobAsync("j1", condition, actor: actor) : hub.MethodJobAsync("j1", condition, actor: actor);

        if (missing is null)
            await Create();
        else
            Assert.Contains($"do not hold: {missing}", await JobsFixture.RefusedAsync(HubErrors.UnauthorizedAccess, Create));
    }

    [Fact]
    public async Task Job_OfAPolicyThatIsGone_Fails_AndSaysWhy()
    {
        await using var hub = await JobsFixture.OpenAsync();
        await hub.FillAsync(1);
        await hub.TwinJobAsync("j1", actor: await hub.PolicyAsync("p", TwinJobs));
        await hub.Policies.DeleteAsync(JobsFixture.Owner, "p", EntityTagCondition.Any, Cancel);

        await hub.RunAsync();

        Assert.Equal((JobStatus.Failed, "policy:p, who made the job, is gone"), (hub.Job("j1").Status, hub.Job("j1").FailureReason));
        Assert.Equal("{}", hub.DesiredOf("d000"));
    }

    [Fact]
    public async Task Job_OfAPolicyThatLosesTheRightWhileItRuns_Stops_AndKeepsWhatIsDone()
    {
        await using var hub = await JobsFixture.OpenAsync(new() { DevicesPerWrite = 1 });
        await hub.FillAsync(3);
        var actor = await hub.PolicyAsync("p", TwinJobs);
        var isTaken = false;
        hub.BetweenWrites = async () =>
        {
            if (!isTaken && hub.Metadata.Read(tx => hub.Metadata.Jobs.Find(tx, "j1"))?.Succeeded == 1)
            {
                isTaken = true;
                await hub.Policies.UpdateAsync(JobsFixture.Owner, "p", Rights.JobManage, null, EntityTagCondition.Any, Cancel);
            }
        };
        await hub.TwinJobAsync("j1", actor: actor);

        await hub.RunAsync();

        var job = hub.Job("j1");
        Assert.Equal((JobStatus.Failed, "policy:p, who made the job, does not hold twin-write", 1, 2), (job.Status, job.FailureReason, job.Succeeded, job.Failed));
        Assert.Contains("does not hold twin-write", (string)(await hub.RowsAsync("SELECT * FROM devices.jobs WHERE deviceId = 'd002'")).Single()["error"]!["description"]!);
    }

    [Fact]
    public async Task Job_OfAPolicyThatGotMoreSince_DoesNoMoreThanItMightThen()
    {
        await using var hub = await JobsFixture.OpenAsync();
        await hub.FillAsync(2);
        await hub.PutAsync(Identity.Of("e000"));
        var actor = await hub.PolicyAsync("p", TwinJobs, "d");
        await hub.TwinJobAsync("j1", actor: actor);
        Assert.True(Scope.TryCreate([], [], [], out var everything, out _));
        await hub.Policies.UpdateAsync(JobsFixture.Owner, "p", AzureRights.All, everything, EntityTagCondition.Any, Cancel);

        await hub.RunAsync();

        Assert.Equal(["d000=completed", "d001=completed"], await hub.OutcomesAsync("j1"));
    }

    [Fact]
    public async Task Job_OfSomebodyLimitedToSomeDevices_ReachesThose_AlsoByATagOfThatMoment()
    {
        await using var hub = await JobsFixture.OpenAsync(new() { DevicesPerWrite = 1 });
        await hub.FillAsync(3, """{"site":"a"}""");
        await hub.PutAsync(Identity.Of("d009"), tags: """{"site":"b"}""");
        Assert.True(Scope.TryCreate(["d"], ["site=a"], [], out var scope, out _));
        await hub.Policies.CreateAsync(JobsFixture.Owner, "p", TwinJobs, scope, null, null, Cancel);
        var actor = new Actor("policy:p", "", TwinJobs, "c1", "") { Scope = scope.Asking(hub.Tags) };
        var isMoved = false;
        hub.BetweenWrites = async () =>
        {
            if (!isMoved && hub.Metadata.Read(tx => hub.Metadata.Jobs.Find(tx, "j1"))?.Succeeded == 1)
            {
                isMoved = true;
                await hub.PutAsync(Identity.Of("d002"), tags: """{"site":"b"}""");
                hub.Tags.NoteChange("d002");
            }
        };
        await hub.TwinJobAsync("j1", actor: actor);

        await hub.RunAsync();

        Assert.Equal(["d000=completed", "d001=completed", "d002=failed IotHubUnauthorizedAccess"], await hub.OutcomesAsync("j1"));
        Assert.Equal("{}", hub.DesiredOf("d009"));
    }

    [Fact]
    public async Task Job_OfAnOperatorWhoseCredentialEnded_Fails()
    {
        await using var hub = await JobsFixture.OpenAsync();
        await hub.FillAsync(1);
        await hub.Policies.CreateOperatorAsync(JobsFixture.Owner, "alice", TwinJobs, Scope.Everything, TimeSpan.FromHours(1), null, Cancel);
        var alice = new Actor("operator:alice", "", TwinJobs, "c1", "");
        await hub.TwinJobAsync("now", actor: alice);
        await hub.TwinJobAsync("tonight", actor: alice, start: hub.Time.GetUtcNow().AddHours(2));
        await hub.RunAsync();

        hub.Time.Advance(TimeSpan.FromHours(2));
        await hub.RunAsync();

        Assert.Equal(JobStatus.Completed, hub.Job("now").Status);
        Assert.StartsWith("the credential of operator:alice, who made the job, ended at 2026-01-02 13:00", hub.Job("tonight").FailureReason);
    }

    [Fact]
    public async Task Jobs_OfThoseWhoReachMore_AreNotThereForSomebodyLimited()
    {
        await using var hub = await JobsFixture.OpenAsync();
        await hub.FillAsync(1);
        await hub.PutAsync(Identity.Of("e000"));
        var limited = await hub.PolicyAsync("p", TwinJobs | Rights.TwinRead, "d");
        await hub.TwinJobAsync("all");
        await hub.TwinJobAsync("own", actor: limited);
        await hub.RunAsync();

        Assert.Equal(["own"], hub.Jobs.List(limited.Scope, null, null, null, 10, long.MaxValue).Jobs.Select(job => job.JobId));
        await JobsFixture.RefusedAsync(HubErrors.JobNotFound, () => Task.FromResult(hub.Jobs.Get(limited.Scope, "all")));
        await JobsFixture.RefusedAsync(HubErrors.JobNotFound, () => hub.Jobs.CancelAsync(limited, "all", Cancel).AsTask());
        Assert.All(await hub.RowsAsync("SELECT * FROM devices.jobs", limited.Scope), row => Assert.Equal("d000", (string)row["deviceId"]!));
        Assert.Equal(2, hub.Jobs.List(Scope.Everything, null, null, null, 10, long.MaxValue).Jobs.Count);
    }

    [Fact]
    public async Task Rows_OfJobs_NeedTheRightToManageThem()
    {
        await using var hub = await JobsFixture.OpenAsync();

        await JobsFixture.RefusedAsync(
            HubErrors.UnauthorizedAccess, () => hub.Queries.RunAsync(Rights.TwinRead, Scope.Everything, "SELECT * FROM devices.jobs", null, null, Cancel).AsTask());
    }
}
