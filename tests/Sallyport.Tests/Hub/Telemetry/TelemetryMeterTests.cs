using System.Buffers;
using System.Diagnostics.Metrics;
using Sallyport.Hub.Access;
using Sallyport.Hub.Devices;
using Sallyport.Hub.Limits;
using Sallyport.Hub.Physical;
using Sallyport.Hub.Telemetry;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Messages;
using Sallyport.Storage.EventLog;

namespace Sallyport.Tests.Hub.Telemetry;

public sealed class TelemetryMeterTests : IDisposable
{
    private readonly MeterListener _listener = new();
    private readonly Dictionary<string, long> _counts = [];
    private int _thread;

    public TelemetryMeterTests()
    {
        _listener.InstrumentPublished = (instrument, listener) =>
        {
            if (instrument.Meter.Name == TelemetryMeter.Name)
                listener.EnableMeasurementEvents(instrument);
        };

        // The meter is the process's: what other tests count on their threads is not ours.
        _listener.SetMeasurementEventCallback<long>((instrument, count, tags, _) =>
        {
            if (Environment.CurrentManagedThreadId != _thread)
                return;

            var name = instrument.Name + string.Concat(tags.ToArray().Select(tag => $" {tag.Value}"));
            _counts[name] = _counts.GetValueOrDefault(name) + count;
        });
        _listener.Start();
    }

    [Fact]
    public async Task Messages_TakenIn_AreCountedUnderAzuresNames()
    {
        _thread = Environment.CurrentManagedThreadId;
        await SendAsync(AppendOutcome.Accepted, messages: 3);

        Assert.Equal(3, _counts["d2c.telemetry.ingress.success"]);
        Assert.Equal(3, _counts["d2c.telemetry.ingress.allProtocol"]);
    }

    [Fact]
    public async Task Messages_Refused_AreCountedByReason()
    {
        _thread = Environment.CurrentManagedThreadId;
        await SendAsync(AppendOutcome.DiskFull, messages: 2);
        Assert.Equal(TelemetryOutcome.TooLarge, Session(AppendOutcome.Accepted).SendTelemetry(new MessageProperties(), new(new byte[Ingest.MaxMessageBytes + 1]), new RecordBatch()));

        Assert.Equal(2, _counts["d2c.telemetry.ingress.refused DiskFull"]);
        Assert.Equal(1, _counts["d2c.telemetry.ingress.refused TooLarge"]);
        Assert.Equal(3, _counts["d2c.telemetry.ingress.allProtocol"]);
        Assert.False(_counts.ContainsKey("d2c.telemetry.ingress.success"));
    }

    public void Dispose() => _listener.Dispose();

    private static async Task SendAsync(AppendOutcome outcome, int messages)
    {
        var session = Session(outcome);
        var batch = new RecordBatch();
        for (var i = 0; i < messages; i++)
            Assert.Equal(TelemetryOutcome.Accepted, session.SendTelemetry(new MessageProperties(), ReadOnlySequence<byte>.Empty, batch));
        var result = await session.FlushAsync(batch, null, TestContext.Current.CancellationToken);
        Assert.Equal(outcome, result.Outcome);
    }

    private static DeviceSession Session(AppendOutcome outcome) => new(
        Identity.Of("d1"), new Principal(PrincipalKind.Device, "d1", Rights.DeviceConnect, DateTimeOffset.MaxValue, "{}", ""), "1", null,
        new Ingest(new ScriptedLog { Answer = outcome }, new QuarantineLine()), new Quotas(new QuotaOptions(), TimeProvider.System).Of(Identity.Of("d1")), DevicePromises.None);
}
