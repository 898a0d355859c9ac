using Microsoft.Extensions.Logging;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Devices;
using Sallyport.Hub.Limits;
using Sallyport.Hub.Methods;
using Sallyport.Hub.Queries;
using Sallyport.Hub.Twins;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Jobs;

/// <summary>What all jobs of a hub act with. Thread-safe.</summary>
internal sealed class JobParts(
    IMetadata metadata, TwinQueries queries, DeviceTwins twins, DirectMethods methods, ConnectedDevices connected, JobCreator creator, IAuditTrail audit,
    JobOptions options, TimeProvider time, ILogger logger)
{
    private static readonly TimeSpan Burst = TimeSpan.FromSeconds(1);

    private readonly TokenBucket _pace = new(options.DevicesPerSecond, Burst, time.TimestampFrequency);

    public IMetadata Metadata => metadata;
    public TwinQueries Queries => queries;
    public DeviceTwins Twins => twins;
    public DirectMethods Methods => methods;
    public ConnectedDevices Connected => connected;
    public IAuditTrail Audit => audit;
    public JobOptions Options => options;
    public TimeProvider Time => time;
    public ILogger Logger => logger;

    public DateTimeOffset Now => time.GetUtcNow();

    /// <summary>In whose name a job acts.</summary>
    /// <exception cref="JobFailedException">Nobody may any more.</exception>
    public ActingCreator Require(JobRecord job) =>
        creator.Find(job, JobDraft.NeededFor(job.Type, JobDraft.Target(job.QueryCondition)), out var problem) ?? throw new JobFailedException(problem);

    /// <summary>Waits until so many devices may be done.</summary>
    public async ValueTask PaceAsync(int devices, CancellationToken cancel)
    {
        while (_pace.WaitTicks(time.GetTimestamp()) is > 0 and var ticks)
            // Time is the subject: so many devices a second.
            await Task.Delay(TimeSpan.FromMilliseconds(Math.Ceiling(ticks * 1000.0 / time.TimestampFrequency)), time, cancel).ConfigureAwait(false);
        _pace.Take(devices, time.GetTimestamp());
    }
}

/// <summary>A job cannot go on, for good. Caught where it is carried out, and nowhere else.</summary>
/// <param name="reason">In words; it is the job's failure reason.</param>
internal sealed class JobFailedException(string reason) : Exception(reason);
