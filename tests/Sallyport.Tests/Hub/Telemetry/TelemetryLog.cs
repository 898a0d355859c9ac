using System.Buffers;
using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Sallyport.Hub.Access;
using Sallyport.Hub.Devices;
using Sallyport.Hub.Limits;
using Sallyport.Hub.Physical;
using Sallyport.Hub.Telemetry;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Messages;
using Sallyport.Storage.EventLog;
using Sallyport.Tests.Storage;
using Sallyport.Tests.Storage.EventLog;

namespace Sallyport.Tests.Hub.Telemetry;

/// <summary>A log on disk with what devices sent to it.</summary>
internal sealed class TelemetryLog : IAsyncDisposable
{
    private readonly TemporaryDirectory _directory = new();

    private TelemetryLog()
    {
    }

    public FakeTimeProvider Time { get; } = new(new DateTimeOffset(2026, 1, 2, 3, 4, 5, TimeSpan.Zero));

    public SegmentLog Log { get; private set; } = null!;

    public static async Task<TelemetryLog> OpenAsync()
    {
        var telemetry = new TelemetryLog();
        var options = new SegmentLogOptions
        {
            Directory = telemetry._directory["log"], SegmentBytes = 4 * 1024 * 1024, CommitBufferBytes = 2 * 1024 * 1024, ReserveBytes = 0,
        };
        telemetry.Log = await SegmentLog.OpenAsync(options, new byte[32], telemetry.Time, NullLogger.Instance);
        return telemetry;
    }

    /// <summary>A device whose messages go to this partition.</summary>
    public string DeviceOf(int partition) =>
        Enumerable.Range(0, 1000).Select(i => $"device-{i}").First(id => PartitionOf.Device(id, Log.PartitionCount) == partition);

    /// <summary>Sends, and waits until it is on disk.</summary>
    public async Task SendAsync(string deviceId, params string[] bodies)
    {
        var session = new DeviceSession(
            Identity.Of(deviceId), new Principal(PrincipalKind.Device, deviceId, Rights.DeviceConnect, DateTimeOffset.MaxValue, "{}", ""), "1", null, new Ingest(Log, new QuarantineLine()),
            new Quotas(new QuotaOptions(), Time).Of(Identity.Of(deviceId)), DevicePromises.None);
        var batch = new RecordBatch();
        var properties = new MessageProperties();
        foreach (var body in bodies)
            Assert.Equal(TelemetryOutcome.Accepted, session.SendTelemetry(properties, new ReadOnlySequence<byte>(Encoding.UTF8.GetBytes(body)), batch));
        await Log.CommitAsync(batch);
    }

    public async ValueTask DisposeAsync()
    {
        await Log.DisposeAsync();
        _directory.Dispose();
    }
}

/// <summary>A log whose first records are gone, as retention leaves it.</summary>
internal sealed class TrimmedLog(IEventLog inner, long first) : IEventLog
{
    public int PartitionCount => inner.PartitionCount;

    public Task<Exception> Failure => inner.Failure;

    public ValueTask<AppendResult> AppendAsync(RecordBatch batch, ICommitListener? listener, CancellationToken cancel) => inner.AppendAsync(batch, listener, cancel);

    public long CommittedPosition(int partition) => inner.CommittedPosition(partition);

    public StreamPartition Describe(StreamId stream, int partition) => inner.Describe(stream, partition) with { FirstSequence = first };

    public ILogCursor OpenCursor(StreamId stream, int partition, LogStart start) =>
        inner.OpenCursor(stream, partition, start.Kind == LogStartKind.Sequence ? LogStart.FromSequence(Math.Max(first, start.Sequence)) : start);

    public ILogHold Hold(string name, StreamId stream, IReadOnlyList<long> next, HoldPolicy policy) => inner.Hold(name, stream, next, policy);

    public void BeginRetention() => inner.BeginRetention();

    public ValueTask DisposeAsync() => inner.DisposeAsync();
}
