using Sallyport.Storage.Metadata;

namespace Sallyport.Tests.Storage.Metadata;

/// <summary>Import and export jobs, and the children of edge devices.</summary>
public abstract class RegistryJobContract : MetadataContract
{
    private static RegistryJobRecord Job(string id, int minutes = 0, RegistryJobStatus status = RegistryJobStatus.Completed) => new()
    {
        Id = id,
        Kind = RegistryJobKind.Import,
        Status = status,
        Settings = "{}",
        Secret = status < RegistryJobStatus.Completed ? "https://a/c?sig=s" : null,
        Creator = "policy:iothubowner",
        CreatorRights = 511,
        CreatedTime = Noon.AddMinutes(minutes),
        StartedTime = Noon.AddMinutes(minutes).AddTicks(1),
        EndedTime = status < RegistryJobStatus.Completed ? null : Noon.AddMinutes(minutes + 1),
        Progress = 40,
        Phase = 1,
        Lines = 200,
        SettledLines = 100,
        Errors = 3,
        Failure = "why",
    };

    [Fact]
    public async Task Jobs_PutFindList_RoundTripAndSurviveReopening_AndOnlyWhatRunsHasItsSecret()
    {
        var (running, ended) = (Job("r", 1, RegistryJobStatus.Running), Job("e"));
        await WriteAsync(tx =>
        {
            Metadata.RegistryJobs.Put(tx, running);
            Metadata.RegistryJobs.Put(tx, ended with { Secret = "not kept" });
        });
        await ReopenAsync();

        Assert.Equal(running, Metadata.Read(tx => Metadata.RegistryJobs.Find(tx, "r")));
        Assert.Equal(ended, Metadata.Read(tx => Metadata.RegistryJobs.Find(tx, "e")));
        Assert.Equal([running with { Secret = null }, ended], Metadata.Read(tx => Metadata.RegistryJobs.List(tx, 10)));
        Assert.Equal(running, Metadata.Read(Metadata.RegistryJobs.FindActive));
        await WriteAsync(tx => Metadata.RegistryJobs.Put(tx, running with { Status = RegistryJobStatus.Cancelled }));
        Assert.Null(Metadata.Read(Metadata.RegistryJobs.FindActive));
        Assert.Null(Metadata.Read(tx => Metadata.RegistryJobs.Find(tx, "r"))!.Secret);
    }

    [Fact]
    public async Task Jobs_BeyondTheBoundOrTheirTime_Go_ButNoneThatRuns()
    {
        await WriteAsync(tx =>
        {
            Metadata.RegistryJobs.Put(tx, Job("oldest-runs", 0, RegistryJobStatus.Running));
            for (var n = 1; n <= 5; n++)
                Metadata.RegistryJobs.Put(tx, Job($"j{n}", n * 10));
            Metadata.RegistryJobs.AddError(tx, "j1", 1, "gone with it");
            Metadata.RegistryJobs.DeleteOld(tx, Noon.AddMinutes(15), 3);
        });

        Assert.Equal(["j5", "j4", "j3", "oldest-runs"], Metadata.Read(tx => Metadata.RegistryJobs.List(tx, 10)).Select(job => job.Id));
        Assert.Empty(Metadata.Read(tx => Metadata.RegistryJobs.ListErrors(tx, "j1", -1, 10)));
    }

    [Fact]
    public async Task Errors_AreInTheirOrder_OncePerEntry_AndOfTheirJob()
    {
        await WriteAsync(tx =>
        {
            Metadata.RegistryJobs.AddError(tx, "a", 20, "b");
            Metadata.RegistryJobs.AddError(tx, "a", 3, "a");
            Metadata.RegistryJobs.AddError(tx, "a", 20, "b again");
            Metadata.RegistryJobs.AddError(tx, "other", 4, "x");
        });

        Assert.Equal([(3, "a"), (20, "b again")], Metadata.Read(tx => Metadata.RegistryJobs.ListErrors(tx, "a", -1, 10)));
        Assert.Equal([(20, "b again")], Metadata.Read(tx => Metadata.RegistryJobs.ListErrors(tx, "a", 3, 10)));
        await WriteAsync(tx => Metadata.RegistryJobs.DeleteErrors(tx, "a"));
        Assert.Empty(Metadata.Read(tx => Metadata.RegistryJobs.ListErrors(tx, "a", -1, 10)));
        Assert.Single(Metadata.Read(tx => Metadata.RegistryJobs.ListErrors(tx, "other", -1, 10)));
    }

    [Fact]
    public async Task Children_AreFoundByTheirParent_InTheOrderOfTheirIds()
    {
        const string scope = "ms-azure-iot-edge://e'+ü-1";
        await WriteAsync(tx =>
        {
            foreach (var id in (string[])["b", "a", "C"])
                Metadata.Identities.Put(tx, Device(id) with { ParentScopes = [scope], IotEdge = id == "a" });
            Metadata.Identities.Put(tx, Device("other") with { ParentScopes = ["ms-azure-iot-edge://other-1"] });
            Metadata.Identities.Put(tx, Device("a", "m1"));
        });

        Assert.Equal(["C", "a", "b"], Metadata.Read(tx => Metadata.Scopes.ListChildren(tx, scope, null, 10)).Select(child => child.DeviceId));
        Assert.Equal(["a"], Metadata.Read(tx => Metadata.Scopes.ListChildren(tx, scope, "C", 1)).Select(child => child.DeviceId));
        Assert.Equal(["a"], Metadata.Read(tx => Metadata.Scopes.ListChildren(tx, scope, null, 10, onlyEdge: true)).Select(child => child.DeviceId));
        Assert.Equal(3, Metadata.Read(tx => Metadata.Scopes.CountChildren(tx, scope)));
    }
}
