using Sallyport.Hub.Access;
using Sallyport.Hub.Audit;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Jobs;

/// <summary>
/// In whose name a job acts: its creator's, with the rights and limits that it holds at that moment, and no more than it held when it made the
/// job. Thread-safe.
/// </summary>
internal sealed class JobCreator(Policies policies, KnownTags tags, TimeProvider time)
{
    /// <summary>Who acts now.</summary>
    /// <param name="needed">What it must hold.</param>
    /// <param name="problem">Why nobody may; empty when somebody does.</param>
    public ActingCreator? Find(JobRecord job, Rights needed, out string problem)
    {
        needed |= Rights.JobManage;
        var name = job.Creator.StartsWith("policy:", StringComparison.Ordinal) ? job.Creator["policy:".Length..] : job.Creator;
        var credentials = policies.FindCredentials(name);
        var held = (credentials?.Rights ?? Rights.None) & (Rights)job.CreatorRights;
        problem = credentials is null ? $"{job.Creator}, who made the job, is gone"
            : credentials.Disabled ? $"{job.Creator}, who made the job, is disabled"
            : credentials.Expires <= time.GetUtcNow() ? $"the credential of {job.Creator}, who made the job, ended at {credentials.Expires:u}"
            : (needed & ~held) is not Rights.None and var missing ? $"{job.Creator}, who made the job, does not hold {RightsText.Format(missing)}"
            : "";
        if (problem.Length > 0)
            return null;

        policies.Used(credentials!, needed);
        var then = ScopeOf(job).Asking(tags);
        var now = credentials!.Scope.LimitsDevices ? credentials.Scope : then;
        return new ActingCreator(Actor.Later(job.Creator, job.Credential, held, now, job.CorrelationId, $"job {job.JobId}"), then);
    }

    /// <summary>What its creator was limited to when it made the job; for being compared.</summary>
    public static Scope ScopeOf(JobRecord job) => Scope.Of(job.CreatorPrefixes, job.CreatorTags, "");
}

/// <summary>Somebody in whose name a job acts now. Immutable.</summary>
/// <param name="Then">What it was limited to when it made the job.</param>
internal sealed record ActingCreator(Actor Actor, Scope Then)
{
    public bool Covers(string deviceId) => Actor.Scope.CoversDevice(deviceId) && Then.CoversDevice(deviceId);
}
