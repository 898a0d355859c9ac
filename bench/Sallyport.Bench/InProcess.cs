using System.Buffers;
using System.Diagnostics;
using Microsoft.Extensions.Logging.Abstractions;
using Sallyport.Hub.Access;
using Sallyport.Hub.Devices;
using Sallyport.Hub.Limits;
using Sallyport.Hub.Physical;
using Sallyport.Hub.Telemetry;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Messages;
using Sallyport.Protocol.Topics;
using Sallyport.Storage.EventLog;

namespace Sallyport.Bench;

/// <summary>The event log alone, and ingest without a socket: what the product costs before the kernel's network path.</summary>
internal static class InProcess
{
    private const int PayloadBytes = 256;

    /// <summary>Appends encoded records and waits for every commit: <paramref name="inFlight"/> batches of <paramref name="perBatch"/> records.</summary>
    public static Task Append(string directory, int inFlight, int perBatch, TimeSpan duration, TextWriter output) =>
        Run(directory, $"append alone, {inFlight} batches x {perBatch} records in flight", inFlight, perBatch, encodeOnce: true, duration, output);

    /// <summary>Parses the property bag, stamps, encodes and appends each message, as a connection does.</summary>
    public static Task Ingest(string directory, int inFlight, int perBatch, TimeSpan duration, TextWriter output) =>
        Run(directory, $"ingest without a socket, {inFlight} sessions x {perBatch} messages in flight", inFlight, perBatch, encodeOnce: false, duration, output);

    private static async Task Run(string directory, string title, int inFlight, int perBatch, bool encodeOnce, TimeSpan duration, TextWriter output)
    {
        var options = new SegmentLogOptions { Directory = Path.Combine(directory, Guid.NewGuid().ToString("n")), RetentionBytes = 1L << 30, ReserveBytes = 0 };
        await using var log = await SegmentLog.OpenAsync(options, new byte[32], TimeProvider.System, NullLogger.Instance);
        var ingest = new Ingest(log, new QuarantineLine());
        using var committed = new ManualResetEventSlim(false, spinCount: 0);
        var sessions = Enumerable.Range(0, inFlight).Select(i => new Session(log, ingest, committed, i)).ToArray();
        var payload = new ReadOnlySequence<byte>(new byte[PayloadBytes]);
        if (encodeOnce)
        {
            foreach (var session in sessions)
                session.Encode(payload, perBatch);
        }

        long messages = 0, allocatedFrom = 0;
        var cpuFrom = 0.0;
        long messagesFrom = 0;
        Stopwatch clock = Stopwatch.StartNew(), measured = new();
        var warmUp = TimeSpan.FromSeconds(2);
        while (clock.Elapsed < warmUp + duration)
        {
            if (!measured.IsRunning && clock.Elapsed > warmUp)
            {
                measured.Start();
                (messagesFrom, allocatedFrom, cpuFrom) = (messages, GC.GetTotalAllocatedBytes(precise: true), Accounting.CpuSeconds(Environment.ProcessId));
            }

            var sent = 0;
            foreach (var session in sessions)
            {
                if (!session.IsCommitted)
                    continue;

                if (!encodeOnce)
                    session.Encode(payload, perBatch);
                await session.Send();
                sent += perBatch;
            }

            messages += sent;
            if (sent == 0)
            {
                committed.Wait();
                committed.Reset();
            }
        }

        var seconds = measured.Elapsed.TotalSeconds;
        var count = messages - messagesFrom;
        output.WriteLine(FormattableString.Invariant(
            $"{title}: {count / seconds:#,0} msg/s, {(Accounting.CpuSeconds(Environment.ProcessId) - cpuFrom) * 1e6 / count:0.00} us CPU/msg (producer included), {(GC.GetTotalAllocatedBytes(precise: true) - allocatedFrom) / (double)count:0.000} B allocated/msg"));
    }

    private sealed class Session : ICommitListener
    {
        private readonly IEventLog _log;
        private readonly ManualResetEventSlim _committed;
        private readonly DeviceSession _session;
        private readonly RecordBatch _batch = new();
        private readonly MessageProperties _properties = new();
        private long _position = -1;

        public Session(IEventLog log, Ingest ingest, ManualResetEventSlim committed, int index)
        {
            _log = log;
            _committed = committed;
            var identity = Identity.Of($"bench-{index}");
            var principal = new Principal(PrincipalKind.Device, identity.DeviceId, Rights.DeviceConnect, DateTimeOffset.MaxValue,
                """{"scope":"device","type":"sas","issuer":"iothub"}""", "");
            _session = new DeviceSession(identity, principal, "1", null, ingest, new Quotas(new QuotaOptions(), TimeProvider.System).Of(identity), DevicePromises.None);
        }

        public bool IsCommitted => _log.CommittedPosition(_session.Stamp.Partition) >= _position;

        public void Encode(in ReadOnlySequence<byte> payload, int count)
        {
            _batch.Clear();
            for (var i = 0; i < count; i++)
            {
                _properties.Clear();
                PropertyBag.Read("%24.mid=m-1&%24.ct=application%2Fjson&sensor=a"u8, _properties);
                _session.SendTelemetry(_properties, payload, _batch);
            }
        }

        public async ValueTask Send() => _position = (await _session.FlushAsync(_batch, this, default)).Position;

        public void OnCommitted() => _committed.Set();
    }
}
