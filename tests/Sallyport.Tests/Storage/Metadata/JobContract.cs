using Sallyport.Storage.Metadata;

namespace Sallyport.Tests.Storage.Metadata;

/// <summary>Scheduled jobs and their devices.</summary>
public abstract class JobContract : MetadataContract
{
    private static JobRecord Job(string id, JobType type = JobType.ScheduleUpdateTwin) => new()
    {
        JobId = id, Type = type, Status = JobStatus.Scheduled, QueryCondition = "*", Act = [1, 2], Creator = "policy:p", CreatorRights = 3, CreatorPrefixes = "a b", CreatorTags = "site%3Da",
        Credential = "f", CorrelationId = "c", CreatedTime = Noon, StartTime = Noon.AddMinutes(1), MaxExecutionTime = TimeSpan.FromSeconds(90),
    };

    private static JobDeviceRecord Row(long job, string device, string module = "") => new()
    {
        Job = job, DeviceId = device, ModuleId = module, GenerationId = "g", CreatedTime = Noon, UpdatedTime = Noon.AddTicks(1),
    };

    [Fact]
    public async Task Jobs_RoundTrip_SurviveReopening_AndAreThereOnce()
    {
        var first = await AddAsync(Job("j1"));
        Assert.Null(await Metadata.WriteAsync(tx => Metadata.Jobs.Add(tx, Job("j1"))));
        var changed = Find(first) with
        {
            Status = JobStatus.Failed, EndTime = Noon.AddHours(1), FailureReason = "why", Ending = JobEnding.Failed, ChosenDeviceId = "d", ChosenModuleId = "m", IsChosen = true,
            Devices = 1, Pending = 2, Running = 3, Succeeded = 4, Failed = 5, Canceled = 6, Outcomes = 7,
        };
        await WriteAsync(tx => Metadata.Jobs.Update(tx, changed));
        await ReopenAsync();

        Assert.Equal(changed with { Act = [] }, Find(first) with { Act = [] });
        Assert.Equal([1, 2], Find(first).Act);
        Assert.Equal(Job("j1") with { Sequence = first, Act = [] }, changed with
        {
            Act = [], Status = JobStatus.Scheduled, EndTime = null, FailureReason = null, Ending = JobEnding.None, ChosenDeviceId = "", ChosenModuleId = "", IsChosen = false,
            Devices = 0, Pending = 0, Running = 0, Succeeded = 0, Failed = 0, Canceled = 0, Outcomes = 0,
        });
        await WriteAsync(tx => Metadata.Jobs.Delete(tx, first));
        Assert.True(await AddAsync(Job("j1")) > first);
    }

    [Fact]
    public async Task Jobs_AreListed_ByWhatTheyAre()
    {
        var ids = new List<long>();
        for (var i = 0; i < 5; i++)
            ids.Add(await AddAsync(Job($"j{i}", i == 4 ? JobType.ScheduleDeviceMethod : JobType.ScheduleUpdateTwin)));
        await WriteAsync(tx =>
        {
            Metadata.Jobs.Update(tx, Metadata.Jobs.Find(tx, ids[0])! with { Status = JobStatus.Completed, EndTime = Noon, Outcomes = 3 });
            Metadata.Jobs.Update(tx, Metadata.Jobs.Find(tx, ids[1])! with { Status = JobStatus.Failed, EndTime = Noon.AddDays(1) });
            Metadata.Jobs.Update(tx, Metadata.Jobs.Find(tx, ids[2])! with { Status = JobStatus.Cancelled, EndTime = Noon, Ending = JobEnding.Cancelled });
        });

        string[] Ids(Func<MetadataTransaction, IReadOnlyList<JobRecord>> list) => [.. Metadata.Read(list).Select(job => job.JobId)];
        Assert.Equal(["j4", "j3", "j2"], Ids(tx => Metadata.Jobs.List(tx, null, null, long.MaxValue, 3)));
        Assert.Equal(["j1", "j0"], Ids(tx => Metadata.Jobs.List(tx, null, null, ids[2], 3)));
        Assert.Equal(["j4"], Ids(tx => Metadata.Jobs.List(tx, JobType.ScheduleDeviceMethod, null, long.MaxValue, 3)));
        Assert.Equal(["j0"], Ids(tx => Metadata.Jobs.List(tx, JobType.ScheduleUpdateTwin, JobStatus.Completed, long.MaxValue, 3)));
        Assert.Equal([ids[2], ids[3], ids[4]], Metadata.Read(Metadata.Jobs.ListOpen).Select(job => job.Sequence));
        Assert.Equal(["j0", "j1"], Ids(tx => Metadata.Jobs.ListEnded(tx, null, false, 9)));
        Assert.Equal(["j0"], Ids(tx => Metadata.Jobs.ListEnded(tx, Noon.AddHours(1), false, 9)));
        Assert.Equal(["j0"], Ids(tx => Metadata.Jobs.ListEnded(tx, null, true, 9)));
        Assert.Equal((5, 3), Metadata.Read(Metadata.Jobs.Count));
    }

    [Fact]
    public async Task Devices_RoundTrip_AreThereOnce_AndAreListedByStatusBehindAnother()
    {
        var job = await AddAsync(Job("j1"));
        var other = await AddAsync(Job("j2"));
        JobDeviceRecord[] rows = [Row(job, "a"), Row(job, "a", "m"), Row(job, "b"), Row(job, "c")];
        Assert.Equal(4, await Metadata.WriteAsync(tx => Metadata.Jobs.AddDevices(tx, job, rows)));
        Assert.Equal(1, await Metadata.WriteAsync(tx => Metadata.Jobs.AddDevices(tx, job, [rows[0], Row(job, "d")])));
        Assert.Equal(1, await Metadata.WriteAsync(tx => Metadata.Jobs.AddDevices(tx, other, [Row(other, "a")])));
        var done = rows[1] with
        {
            Status = JobDeviceStatus.Failed, UpdatedTime = Noon.AddMinutes(1), StartTime = Noon, EndTime = Noon.AddMinutes(2), ResponseStatus = 7, ErrorCode = "Code", ErrorDescription = "why",
        };
        await WriteAsync(tx => Metadata.Jobs.PutDevice(tx, done with { ResponsePayload = [9] }));
        await ReopenAsync();

        var read = Metadata.Read(tx => Metadata.Jobs.FindDevice(tx, job, "a", "m"))!;
        Assert.Equal([9], read.ResponsePayload!);
        Assert.Equal(done, read with { ResponsePayload = null });
        Assert.Null(Metadata.Read(tx => Metadata.Jobs.FindDevice(tx, other, "a", "m")));
        string[] Pending(string device, string module) => [.. Metadata.Read(tx => Metadata.Jobs.ListDevices(tx, job, JobDeviceStatus.Pending, (device, module), 2)).Select(row => row.ToString())];
        Assert.Equal(["a", "b"], Pending("", ""));
        Assert.Equal(["b", "c"], Pending("a", ""));
        Assert.Equal(["c", "d"], Pending("b", ""));
        Assert.Equal((3, 2), (await Metadata.WriteAsync(tx => Metadata.Jobs.DeleteDevices(tx, job, 3)), await Metadata.WriteAsync(tx => Metadata.Jobs.DeleteDevices(tx, job, 3))));
        Assert.NotNull(Metadata.Read(tx => Metadata.Jobs.FindDevice(tx, other, "a", "")));
    }

    [Fact]
    public async Task Devices_AreScannedInTheOrderOfJobsAndIds_AllOfThemOrSome()
    {
        var (first, second) = (await AddAsync(Job("j1")), await AddAsync(Job("j2", JobType.ScheduleDeviceMethod)));
        await WriteAsync(tx =>
        {
            Metadata.Jobs.AddDevices(tx, second, [Row(second, "a"), Row(second, "b")]);
            Metadata.Jobs.AddDevices(tx, first, [Row(first, "c"), Row(first, "b", "m"), Row(first, "b")]);
        });

        Assert.Equal(["j1 b", "j1 b/m", "j1 c", "j2 a", "j2 b"], Scan(new((0, "", ""), null, null)));
        Assert.Equal(["j1 c", "j2 a", "j2 b"], Scan(new((first, "b", "m"), null, null)));
        Assert.Equal(["j2 a", "j2 b"], Scan(new((0, "", ""), "j2", null)));
        Assert.Equal(["j2 b"], Scan(new((second, "a", ""), "j2", null)));
        Assert.Equal(["j1 b", "j1 b/m", "j2 b"], Scan(new((0, "", ""), null, "b")));
        Assert.Equal(["j1 b/m", "j2 b"], Scan(new((first, "b", ""), null, "b")));
        Assert.Equal(["j2 b"], Scan(new((0, "", ""), "j2", "b")));
        Assert.Empty(Scan(new((0, "", ""), "j3", null)));
    }

    private List<string> Scan(JobDeviceScan scan)
    {
        List<string> seen = [];
        Metadata.Read(tx =>
        {
            Metadata.Jobs.ScanDevices(tx, scan, row =>
            {
                Assert.Equal(row.JobId == "j2" ? JobType.ScheduleDeviceMethod : JobType.ScheduleUpdateTwin, row.Type);
                seen.Add($"{row.JobId} {row.Device}");
                return true;
            });
            return true;
        });
        return seen;
    }

    private JobRecord Find(long sequence) => Metadata.Read(tx => Metadata.Jobs.Find(tx, sequence))!;

    private async Task<long> AddAsync(JobRecord record) => (await Metadata.WriteAsync(tx => Metadata.Jobs.Add(tx, record)))!.Value;
}
