using System.Buffers;
using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Sallyport.Hub.Access;
using Sallyport.Hub.Physical;
using Sallyport.Hub.Telemetry;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Messages;
using Sallyport.Storage.EventLog;
using Sallyport.Storage.Metadata;
using Sallyport.Tests.Storage;
using Sallyport.Tests.Storage.EventLog;
using Sallyport.Tests.Storage.Metadata;

namespace Sallyport.Tests.Services.Connections;

/// <summary>What connections need of a hub: a real log with telemetry in it and a real metadata store.</summary>
internal sealed class TestHub : IAsyncDisposable
{
    public const int Partitions = 4;

    private readonly TemporaryDirectory _directory = new();
    private readonly SqliteFixture _sqlite = new();
    private int _sent;

    public FakeTimeProvider LogTime { get; } = new(new DateTimeOffset(2026, 1, 2, 3, 4, 5, TimeSpan.Zero));

    public SegmentLog Log { get; private set; } = null!;

    public SqliteMetadata Metadata { get; private set; } = null!;

    public string Sinks => _directory["sinks"];

    public static async Task<TestHub> OpenAsync(long? maxHeldBytes = null)
    {
        var hub = new TestHub();
        hub.Log = await SegmentLog.OpenAsync(
            new SegmentLogOptions { Directory = hub._directory["log"], PartitionCount = Partitions, SegmentBytes = 4 * 1024 * 1024, CommitBufferBytes = 2 * 1024 * 1024, ReserveBytes = 0, MaxHeldBytes = maxHeldBytes },
            new byte[32], hub.LogTime, NullLogger.Instance);
        hub.Log.BeginRetention();
        hub.Metadata = await hub._sqlite.OpenAsync();
        return hub;
    }

    /// <summary>Takes messages in, on disk when it returns: a JSON body with a running number, from devices of all partitions in turn.</summary>
    public async Task SendAsync(int count, string? body = null)
    {
        for (var i = 0; i < count; i++)
        {
            var number = _sent++;
            await SendAsync(DeviceOf(number % Partitions), body ?? $$"""{"n":{{number}}}""");
        }
    }

    /// <summary>A device whose messages go to the partition.</summary>
    public static string DeviceOf(int partition) =>
        Enumerable.Range(0, 1000).Select(i => $"d{i}").First(id => PartitionOf.Device(id, Partitions) == partition);

    public async Task SendAsync(string deviceId, string body)
    {
        var ingest = new Ingest(Log, new QuarantineLine());
        var principal = new Principal(PrincipalKind.Device, deviceId, Rights.DeviceConnect, DateTimeOffset.MaxValue, "{}", "");
        var batch = new RecordBatch();
        Assert.Equal(
            TelemetryOutcome.Accepted,
            Ingest.Encode(ingest.StampOf(Identity.Of(deviceId), principal, "1", null), new MessageProperties(), new ReadOnlySequence<byte>(Encoding.UTF8.GetBytes(body)), batch));
        await Log.CommitAsync(batch);
    }

    public async ValueTask DisposeAsync()
    {
        await Log.DisposeAsync();
        await Metadata.DisposeAsync();
        _sqlite.Dispose();
        _directory.Dispose();
    }
}
