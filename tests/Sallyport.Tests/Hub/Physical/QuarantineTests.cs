using System.Buffers;
using System.Text;
using Sallyport.Hub.Access;
using Sallyport.Hub.Devices;
using Sallyport.Hub.Limits;
using Sallyport.Hub.Physical;
using Sallyport.Hub.Telemetry;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Messages;
using Sallyport.Storage.EventLog;
using Sallyport.Tests.Heads.Mqtt;
using Sallyport.Tests.Hub.Registry;
using Sallyport.Tests.Storage.EventLog;

namespace Sallyport.Tests.Hub.Physical;

public sealed class QuarantineTests : IAsyncLifetime
{
    private readonly QuarantineLine _line = new();
    private readonly GatedLog _log = new(new MemoryLog(TimeProvider.System, partitions: 1));
    private RegistryFixture _fixture = null!;
    private Quarantine _quarantine = null!;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        _fixture = await RegistryFixture.OpenAsync();
        await _fixture.CreateAsync("d1");
        await _fixture.CreateAsync("d1", "m1");
        await _fixture.CreateAsync("d2");
        _quarantine = new Quarantine(_fixture.Metadata, _line, _fixture.Audit, _fixture.Time);
    }

    public async ValueTask DisposeAsync()
    {
        _quarantine.Dispose();
        await _log.DisposeAsync();
        await _fixture.DisposeAsync();
    }

    [Fact]
    public async Task Place_OfAGateway_EndsTheSessionsThatItOpenedForOthers()
    {
        TestLink Connect(string id, params string[] gateways)
        {
            var link = new TestLink(Identity.Of(id), _fixture.Connected)
            {
                Principal = new Principal(PrincipalKind.Module, "d1/$edgeHub", Rights.DeviceConnect, DateTimeOffset.MaxValue, "{}", "") { Gateways = gateways },
            };
            _fixture.Connected.Attach(link);
            return link;
        }

        var (itself, child, stranger) = (Connect("d1"), Connect("leaf", "d1"), Connect("other", "d2"));
        _quarantine.Placed += device => GatewaysInQuarantine.EndSessions(_fixture.Connected, device);

        await _quarantine.PlaceAsync(RegistryFixture.Owner, "d1", "opened", Cancel);

        Assert.Equal((null, HubErrors.Unauthorized, null), (itself.ClosedWith, child.ClosedWith, stranger.ClosedWith));
    }

    [Fact]
    public async Task Place_IsRecordedAndSurvivesARestart()
    {
        var placed = await _quarantine.PlaceAsync(RegistryFixture.Owner, "d1", "seal broken", Cancel);

        Assert.Equal(new("d1", _fixture.Time.GetUtcNow(), "policy:iothubowner", "seal broken"), placed);
        var entry = _fixture.Audit.Entries[^1];
        Assert.Equal(("device quarantine", "d1", "done", "seal broken"), (entry.Action, entry.Target, entry.Result, entry.Reason));
        var later = new QuarantineLine();
        using var reopened = new Quarantine(_fixture.Metadata, later, _fixture.Audit, _fixture.Time);
        Assert.Equal(placed, reopened.Find("d1"));
        Assert.True(later.Holds("d1"));
    }

    [Fact]
    public async Task Place_DeviceThatIsThereAlready_StaysAsItIs()
    {
        var first = await _quarantine.PlaceAsync(RegistryFixture.Owner, "d1", "first", Cancel);
        var entries = _fixture.Audit.Entries.Count;

        Assert.Equal(first, await _quarantine.PlaceAsync(RegistryFixture.Owner, "d1", "second", Cancel));
        Assert.Equal(entries, _fixture.Audit.Entries.Count);
    }

    [Fact]
    public async Task Place_UnknownDeviceOrLongReason_IsRefused()
    {
        await RegistryFixture.RefusedAsync(HubErrors.DeviceNotFound, async () => await _quarantine.PlaceAsync(RegistryFixture.Owner, "nobody", "", Cancel));
        await RegistryFixture.RefusedAsync(HubErrors.ArgumentInvalid, async () => await _quarantine.PlaceAsync(RegistryFixture.Owner, "d1", new string('x', 513), Cancel));
        await RegistryFixture.RefusedAsync(HubErrors.NotFound, async () => await _quarantine.ReleaseAsync(RegistryFixture.Owner, "d1", "", Cancel));
    }

    [Fact]
    public async Task Place_AuditIsNotDurable_IsRefusedAndNothingHappens()
    {
        _fixture.Audit.IsBroken = true;

        await RegistryFixture.RefusedAsync(HubErrors.ServiceUnavailable, async () => await _quarantine.PlaceAsync(RegistryFixture.Owner, "d1", "", Cancel));
        Assert.False(_line.Holds("d1"));
        Assert.Empty(_fixture.Metadata.Read(_fixture.Metadata.Quarantine.List));
    }

    [Fact]
    public async Task Telemetry_OfAnOpenSession_ChangesItsStreamAtOnce()
    {
        var device = Session("d1");
        var module = Session("d1", "m1");
        var other = Session("d2");
        Assert.True(device.MayReceive);

        await SendAsync(device, "before");
        await _quarantine.PlaceAsync(RegistryFixture.Owner, "d1", "", Cancel);
        await SendAsync(device, "during");
        await SendAsync(module, "module");
        await SendAsync(other, "other");
        Assert.False(device.MayReceive);
        Assert.True(other.MayReceive);
        await _quarantine.ReleaseAsync(RegistryFixture.Owner, "d1", "looked at", Cancel);
        await SendAsync(device, "after");

        Assert.True(device.MayReceive);
        Assert.Equal(["before", "other", "after"], await StoredAsync(StreamId.Events));
        Assert.Equal(["during", "module"], await StoredAsync(StreamId.Quarantine));
        Assert.Equal("device release", _fixture.Audit.Entries[^1].Action);
    }

    [Fact]
    public async Task Place_AppendUnderWay_WaitsForIt()
    {
        var device = Session("d1");
        _log.Shut();
        var send = SendAsync(device, "under way");
        await _log.KnockedAsync();

        var place = _quarantine.PlaceAsync(RegistryFixture.Owner, "d1", "", Cancel).AsTask();
        var other = _quarantine.PlaceAsync(RegistryFixture.Owner, "d2", "", Cancel).AsTask();
        Assert.False(place.IsCompleted);
        _log.Open();
        await Task.WhenAll(place, send, other);
        await SendAsync(device, "later");

        Assert.Equal(["under way"], await StoredAsync(StreamId.Events));
        Assert.Equal(["later"], await StoredAsync(StreamId.Quarantine));
    }

    [Fact]
    public async Task Place_WhileSessionsSend_LetsNothingSlipBehindTheAnswer()
    {
        using var stop = new CancellationTokenSource();
        var answered = 0;
        var slipped = 0;
        var senders = Enumerable.Range(0, 4).Select(i => Task.Run(async () =>
        {
            var session = Session("d1");
            while (!stop.IsCancellationRequested)
            {
                // What is begun after the answer must not be among the events.
                var late = Volatile.Read(ref answered) == 1;
                await SendAsync(session, late ? "late" : "early");
                if (late)
                    Interlocked.Increment(ref slipped);
            }
        })).ToList();

        await _quarantine.PlaceAsync(RegistryFixture.Owner, "d1", "", Cancel);
        await SendAsync(Session("d1"), "fence"); // What was appended before the answer is committed after it.
        var events = _log.Describe(StreamId.Events, 0).NextSequence;
        Volatile.Write(ref answered, 1);
        while (Volatile.Read(ref slipped) < 20)
            await Task.Yield();
        await stop.CancelAsync();
        await Task.WhenAll(senders);

        Assert.Equal(events, _log.Describe(StreamId.Events, 0).NextSequence);
    }

    [Fact]
    public async Task Deleted_AndMadeAnew_IsInQuarantineStill()
    {
        await _quarantine.PlaceAsync(RegistryFixture.Owner, "d1", "stolen", Cancel);
        await _fixture.DeleteAsync("d1");
        Assert.True(_quarantine.Knows("d1"));
        await _fixture.CreateAsync("d1");

        Assert.True(_line.Holds("d1"));
        Assert.Equal("stolen", _quarantine.Find("d1")!.Reason);
    }

    [Fact]
    public async Task Place_BeyondTheBound_IsRefusedUntilOneIsReleased()
    {
        using var narrow = new Quarantine(_fixture.Metadata, new QuarantineLine(capacity: 1), _fixture.Audit, _fixture.Time);
        await narrow.PlaceAsync(RegistryFixture.Owner, "d1", "", Cancel);

        await RegistryFixture.RefusedAsync(HubErrors.QuotaExceeded, async () => await narrow.PlaceAsync(RegistryFixture.Owner, "d2", "", Cancel));
        await narrow.ReleaseAsync(RegistryFixture.Owner, "d1", "", Cancel);
        await narrow.PlaceAsync(RegistryFixture.Owner, "d2", "", Cancel);
    }

    [Fact]
    public async Task List_IsInOrderAndPaged()
    {
        await _quarantine.PlaceAsync(RegistryFixture.Owner, "d2", "", Cancel);
        await _quarantine.PlaceAsync(RegistryFixture.Owner, "d1", "", Cancel);

        Assert.Equal(["d1"], _quarantine.List(null, 1).Select(record => record.DeviceId));
        Assert.Equal(["d2"], _quarantine.List("d1", 10).Select(record => record.DeviceId));
        Assert.Equal(2, _quarantine.Count);
    }

    [Fact]
    public async Task Tamper_Declared_QuarantinesTheSender_AndTheMessageItself()
    {
        var rule = new TamperRule(_quarantine, [TamperProperty.TryParse("tamper=true")!]);
        var device = Session("d1", null, rule);

        await SendAsync(device, "before", "tamper", "false");
        await SendAsync(device, "tampered", "tamper", "true");
        await SendAsync(device, "after");

        Assert.Equal(["before"], await StoredAsync(StreamId.Events));
        Assert.Equal(["tampered", "after"], await StoredAsync(StreamId.Quarantine));
        Assert.Equal(("rule:tamper", "d1 declared tamper=true"), (_quarantine.Find("d1")!.PlacedBy, _quarantine.Find("d1")!.Reason));
    }

    [Fact]
    public async Task Tamper_DeclaredWhileTheTrailCannotBeWritten_IsNotTaken()
    {
        var device = Session("d1", null, new TamperRule(_quarantine, [TamperProperty.TryParse("tamper=true")!]));
        _fixture.Audit.IsBroken = true;

        await RegistryFixture.RefusedAsync(HubErrors.ServiceUnavailable, () => SendAsync(device, "tampered", "tamper", "true"));
        _fixture.Audit.IsBroken = false;
        await SendAsync(device, "later");

        Assert.Empty(await StoredAsync(StreamId.Events));
        Assert.Equal(["later"], await StoredAsync(StreamId.Quarantine));
    }

    private DeviceSession Session(string deviceId, string? moduleId = null, TamperRule? rule = null) => new(
        Identity.Of(deviceId, moduleId), new Principal(PrincipalKind.Device, deviceId, Rights.DeviceConnect, DateTimeOffset.MaxValue, "{}", ""), "1", null,
        new Ingest(_log, _line, rule), new Quotas(new QuotaOptions(), TimeProvider.System).Of(Identity.Of(deviceId, moduleId)), DevicePromises.None);

    private async Task SendAsync(DeviceSession session, string text, string? name = null, string value = "")
    {
        var batch = new RecordBatch();
        var properties = new MessageProperties();
        if (name is not null)
            properties.TryAdd(Encoding.UTF8.GetBytes(name), Encoding.UTF8.GetBytes(value));
        Assert.Equal(TelemetryOutcome.Accepted, session.SendTelemetry(properties, new ReadOnlySequence<byte>(Encoding.UTF8.GetBytes(text)), batch));
        var append = await session.FlushAsync(batch, null, Cancel);
        Assert.Equal(AppendOutcome.Accepted, append.Outcome);
        while (_log.CommittedPosition(0) < append.Position)
            await Task.Yield();
    }

    private async Task<IReadOnlyList<string>> StoredAsync(StreamId stream)
    {
        var end = _log.Describe(stream, 0).NextSequence;
        using var cursor = _log.OpenCursor(stream, 0, LogStart.Earliest);
        var page = new LogPage();
        var texts = new List<string>();
        while (cursor.NextSequence < end)
        {
            if (await cursor.ReadAsync(page, Cancel) == 0)
                await cursor.WaitAsync(Cancel);
            Assert.All(page.Records, record => Assert.Equal(stream == StreamId.Events ? Ingest.BuiltInEndpoint : 0, record.Endpoints));
            texts.AddRange(page.Records.Select(record => StoredText.Of(record).Body));
        }

        return texts;
    }
}
