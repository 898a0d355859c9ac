using System.Text;
using Sallyport.Client.Amqp;
using Sallyport.Client.Events;
using Sallyport.Protocol.Amqp;
using Sallyport.Protocol.Amqp.Endpoints;
using Sallyport.Protocol.Amqp.Nodes;
using Sallyport.Protocol.Sas;

namespace Sallyport.Tests.Client;

/// <summary>The event consumer, against a hub that says what the test wants.</summary>
public sealed class EventConsumerTests : IDisposable
{
    private const string Key = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

    private readonly AmqpWireHub _hub = new();
    private readonly StepTime _time = new();

    [Fact]
    public async Task Reading_OfAPartition_PutsATokenSignedWithTheKeysTextAndAttachesAsEventHubsClientsDo()
    {
        await using var consumer = Consumer(new EventConsumerOptions { ConsumerGroup = "g", OwnerLevel = 7 });
        var reading = Read(consumer, "3", EventPosition.FromSequenceNumber(40));
        var first = reading.MoveNextAsync().AsTask();
        using var wire = await _hub.AcceptAsync();
        await wire.UntilAsync(() => wire.Readers.Any(link => link.Credit > 0));

        var put = Assert.Single(wire.Tokens);
        Assert.Equal(("put-token", "sb://localhost/events", "servicebus.windows.net:sastoken"), (put.Operation, put.Name, put.Type));
        var token = SharedAccessSignature.TryParse(put.Text, out _)!.Value;
        Assert.True(token.IsForEventHubs);
        Assert.True(token.IsSignedWith(Encoding.UTF8.GetBytes(Key), []));
        Assert.Equal("service", token.PolicyName);
        var link = wire.Readers.Single();
        Assert.Equal("events/ConsumerGroups/g/Partitions/3", link.Attach.Source!.Address);
        Assert.Equal(new SelectorFilter(SelectorKey.SequenceNumber, true, 40, false), SelectorFilter.TryRead(wire.End.Asked[link].Source!.Filters, out _));
        Assert.True(wire.End.Asked[link].TryFindProperty("com.microsoft:epoch"u8, out var epoch));
        Assert.Equal(7, epoch.Signed);

        await SendAsync(wire, link, 40, "x");
        Assert.True(await first);
        Assert.Equal((40, "x", "3", "dev"), (reading.Current.SequenceNumber, Encoding.UTF8.GetString(reading.Current.Body.Span), reading.Current.PartitionId, reading.Current.DeviceId));
        Assert.Equal("00000000000000000040", reading.Current.Offset);
        Assert.Equal(DateTimeOffset.FromUnixTimeMilliseconds(1_000_040), reading.Current.EnqueuedTime);
        Assert.Equal(true, reading.Current.Properties["warm"]);
        await reading.DisposeAsync();
    }

    [Theory]
    [InlineData("Endpoint=sb://localhost/;SharedAccessKeyName=service;SharedAccessKey=" + Key + ";EntityPath=other", "sb://localhost/other")]
    [InlineData("HostName=localhost;SharedAccessKeyName=service;SharedAccessKey=" + Key, "sb://localhost/events")]
    public async Task ConnectionString_OfEitherKind_IsTaken(string connectionString, string audience)
    {
        await using var consumer = new EventConsumer(connectionString, new EventConsumerOptions { Port = _hub.Port, CaFile = _hub.RootFile, Time = _time });
        var asked = consumer.GetPartitionPropertiesAsync("0");
        using var wire = await _hub.AcceptAsync();

        await wire.UntilAsync(() => wire.Questions.Count == 1);

        Assert.Equal(audience, wire.Tokens.Single().Name);
        Assert.Equal("amqp:not-found", (await Assert.ThrowsAsync<AmqpRefusedException>(() => asked)).Condition);
    }

    [Theory]
    [InlineData("HostName=localhost;DeviceId=d1;SharedAccessKey=c2VjcmV0")]
    [InlineData("Endpoint=sb://localhost/;SharedAccessKeyName=p")]
    [InlineData("Endpoint=http://localhost/;SharedAccessKeyName=p;SharedAccessKey=c2VjcmV0")]
    [InlineData("Endpoint=sb://localhost/;Endpoint=sb://b/;SharedAccessKeyName=p;SharedAccessKey=c2VjcmV0")]
    [InlineData("nonsense")]
    public void ConnectionString_NotOfAPolicy_IsRefusedWithoutItsKey(string connectionString)
    {
        var refused = Assert.Throws<FormatException>(() => new EventConsumer(connectionString));

        Assert.DoesNotContain("c2VjcmV0", refused.ToString());
    }

    [Fact]
    public async Task Reader_WhoTakesNothing_GetsAsManyAsThePrefetchAndMoreOnceItTakes()
    {
        await using var consumer = Consumer(new EventConsumerOptions { Prefetch = 4 });
        var reading = Read(consumer, "0");
        var first = reading.MoveNextAsync().AsTask();
        using var wire = await _hub.AcceptAsync();
        await wire.UntilAsync(() => wire.Readers.Any(link => link.Credit > 0));
        var link = wire.Readers.Single();

        Assert.Equal(4u, link.Credit);
        await SendAsync(wire, link, 0, "0");
        Assert.True(await first);
        await SendAsync(wire, link, 1, "1");
        await wire.UntilAsync(() => link.Credit == 3); // One waits, three may come.
        for (var i = 2; i < 5; i++)
            await SendAsync(wire, link, i, $"{i}");
        Assert.Equal(0u, link.Credit);
        Assert.True(await reading.MoveNextAsync());
        Assert.True(await reading.MoveNextAsync());
        await wire.UntilAsync(() => link.Credit > 0);

        // Five were sent and three taken: with what may come, no more than the prefetch waits.
        Assert.InRange(link.Credit, 1u, 2u);
        await reading.DisposeAsync();
    }

    [Fact]
    public async Task Connection_Lost_GoesOnBehindTheLastEvent()
    {
        await using var consumer = Consumer();
        var reading = Read(consumer, "0");
        var next = reading.MoveNextAsync().AsTask();
        using (var wire = await _hub.AcceptAsync())
        {
            await wire.UntilAsync(() => wire.Readers.Any(link => link.Credit > 0));
            Assert.Empty(wire.End.Asked[wire.Readers.Single()].Source!.Filters);
            await SendAsync(wire, wire.Readers.Single(), 5, "5");
            Assert.True(await next);
        }

        next = reading.MoveNextAsync().AsTask();
        await ReconnectWaitAsync();
        using var again = await _hub.AcceptAsync();
        await again.UntilAsync(() => again.Readers.Any(link => link.Credit > 0));

        Assert.Equal("amqp.annotation.x-opt-sequence-number > '5'", SelectorFilter.TryRead(again.End.Asked[again.Readers.Single()].Source!.Filters, out _).ToString());
        await SendAsync(again, again.Readers.Single(), 6, "6");
        Assert.True(await next);
        Assert.Equal(6, reading.Current.SequenceNumber);
        await reading.DisposeAsync();
    }

    [Fact]
    public async Task Latest_WhoseConnectionIsLostBeforeAnEvent_StillBeginsWhereItBegan()
    {
        await using var consumer = Consumer();
        var reading = Read(consumer, "0", EventPosition.Latest);
        var next = reading.MoveNextAsync().AsTask();
        using (var wire = await _hub.AcceptAsync())
        {
            wire.Describe = _ => (200, Partition("0", last: 41));
            await wire.UntilAsync(() => wire.Readers.Any(link => link.Credit > 0));
            Assert.Equal(("READ", "com.microsoft:partition", "events", "0"), wire.Questions.Select(one => (one.Operation, one.Type, one.Name, one.Partition)).Single());
        }

        await ReconnectWaitAsync();
        using var again = await _hub.AcceptAsync();
        await again.UntilAsync(() => again.Readers.Any(link => link.Credit > 0));

        Assert.Equal("amqp.annotation.x-opt-sequence-number > '41'", SelectorFilter.TryRead(again.End.Asked[again.Readers.Single()].Source!.Filters, out _).ToString());
        await SendAsync(again, again.Readers.Single(), 42, "42");
        Assert.True(await next);
        await reading.DisposeAsync();
    }

    [Fact]
    public async Task Partition_Stolen_EndsItsReadingBehindWhatCameAndNoOther()
    {
        await using var consumer = Consumer();
        var stolen = Read(consumer, "0");
        var other = Read(consumer, "1");
        var (one, two) = (stolen.MoveNextAsync().AsTask(), other.MoveNextAsync().AsTask());
        using var wire = await _hub.AcceptAsync();
        await wire.UntilAsync(() => wire.Readers.Count(link => link.Credit > 0) == 2);
        var link = wire.Readers.Single(reader => reader.Attach.Source!.Address!.EndsWith("/0", StringComparison.Ordinal));

        await SendAsync(wire, link, 0, "last");
        link.Detach(new AmqpError(AmqpConditions.LinkStolen, "epoch 9 came"));
        await SendAsync(wire, wire.Readers.Single(), 0, "other");

        Assert.True(await one);
        var reason = await Assert.ThrowsAsync<AmqpRefusedException>(async () => await stolen.MoveNextAsync());
        Assert.Equal((AmqpConditions.LinkStolen, false), (reason.Condition, reason.IsRetryable));
        Assert.True(await two);
        await other.DisposeAsync();
    }

    [Fact]
    public async Task Link_Refused_EndsTheReading()
    {
        await using var consumer = Consumer();
        var reading = Read(consumer, "0");
        var next = reading.MoveNextAsync().AsTask();
        using var wire = await _hub.AcceptAsync();
        wire.End.Refusal = link => link is AmqpSender && NodeAddress.Parse(link.Attach.Source?.Address).Kind == NodeKind.Partition ? new AmqpError("amqp:not-found", "no such group") : null;

        await wire.UntilAsync(() => wire.End.Steps.Count(step => step == AmqpStep.Attaching) == 3); // Two of $cbs before it.

        Assert.Contains("no such group", (await Assert.ThrowsAsync<AmqpRefusedException>(() => next)).Message);
    }

    [Fact]
    public async Task Token_Refused_FailsThoseWhoWaitAndTheNextOneTriesAgain()
    {
        await using var consumer = Consumer();
        var asked = consumer.GetEventHubPropertiesAsync();
        using (var wire = await _hub.AcceptAsync())
        {
            wire.TokenStatus = 401;
            await wire.UntilGoneAsync();
            var reason = await Assert.ThrowsAsync<AmqpRefusedException>(() => asked);
            Assert.Equal((AmqpConditions.UnauthorizedAccess, false), (reason.Condition, reason.IsRetryable));
            Assert.DoesNotContain(Key, reason.ToString());
        }

        asked = consumer.GetEventHubPropertiesAsync();
        await ReconnectWaitAsync();
        using var again = await _hub.AcceptAsync();
        again.Describe = _ => (200, Hub("0", "1"));
        await again.UntilAsync(() => again.Questions.Count == 1);

        Assert.Equal(["0", "1"], (await asked).PartitionIds);
    }

    [Fact]
    public async Task Token_BeforeItExpires_IsRenewedWhileTheReadingStays()
    {
        await using var consumer = Consumer(new EventConsumerOptions { TokenLifetime = TimeSpan.FromMinutes(5), IdleTimeOut = TimeSpan.FromMinutes(4) });
        var reading = Read(consumer, "0");
        var next = reading.MoveNextAsync().AsTask();
        using var wire = await _hub.AcceptAsync();
        await wire.UntilAsync(() => wire.Readers.Any(link => link.Credit > 0));

        _time.Advance(TimeSpan.FromMinutes(4.5));
        await wire.UntilAsync(() => wire.Tokens.Count == 2);

        Assert.NotEqual(wire.Tokens[0].Text, wire.Tokens[1].Text);
        await SendAsync(wire, wire.Readers.Single(), 0, "x");
        Assert.True(await next);
        await reading.DisposeAsync();
    }

    [Fact]
    public async Task Enumeration_Left_DetachesTheLinkAndNoMore()
    {
        await using var consumer = Consumer();
        var reading = Read(consumer, "0");
        var next = reading.MoveNextAsync().AsTask();
        using var wire = await _hub.AcceptAsync();
        await wire.UntilAsync(() => wire.Readers.Any(link => link.Credit > 0));
        await SendAsync(wire, wire.Readers.Single(), 0, "x");
        Assert.True(await next);

        await reading.DisposeAsync();

        await wire.UntilAsync(() => wire.End.Steps.Contains(AmqpStep.Detached));
        Assert.True(wire.End.Connection.IsOpen);
    }

    [Fact]
    public async Task Enumeration_LeftBeforeTheHubLetItIn_DetachesTheLink()
    {
        await using var consumer = Consumer();
        using var leave = new CancellationTokenSource();
        await using var reading = consumer.ReadEventsFromPartitionAsync("0", default, leave.Token).GetAsyncEnumerator(leave.Token);
        var next = reading.MoveNextAsync().AsTask();
        using var wire = await _hub.AcceptAsync();
        wire.End.Then += step =>
        {
            // Its attach is there, and the answer not yet on its way.
            if (step == AmqpStep.Attaching && wire.Readers.Any())
                leave.Cancel();
        };

        await wire.UntilAsync(() => wire.End.Steps.Contains(AmqpStep.Detached));

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => next);
    }

    [Fact]
    public async Task Event_ThatIsNone_EndsItsReading()
    {
        await using var consumer = Consumer();
        var reading = Read(consumer, "0");
        var next = reading.MoveNextAsync().AsTask();
        using var wire = await _hub.AcceptAsync();
        await wire.UntilAsync(() => wire.Readers.Any(link => link.Credit > 0));

        Assert.Equal(AmqpSendResult.Sent, wire.Readers.Single().TrySend(default, [0x40], [1], 0, settled: true, null));
        await wire.SayAsync();

        await Assert.ThrowsAsync<InvalidDataException>(() => next);
    }

    [Fact]
    public async Task Question_WhoseConnectionIsLost_IsAskedAgain()
    {
        await using var consumer = Consumer();
        var asked = consumer.GetPartitionPropertiesAsync("2");
        using (var wire = await _hub.AcceptAsync())
            await wire.UntilAsync(() => wire.Tokens.Count == 1);

        await ReconnectWaitAsync();
        using var again = await _hub.AcceptAsync();
        again.Describe = _ => (200, Partition("2", last: 9));
        await again.UntilAsync(() => again.Questions.Count == 1);

        var partition = await asked;
        Assert.Equal(("2", 3, 9, "00000000000000000009", false), (partition.Id, partition.BeginningSequenceNumber, partition.LastEnqueuedSequenceNumber, partition.LastEnqueuedOffset, partition.IsEmpty));
    }

    [Fact]
    public async Task Dispose_WithReadings_ClosesWithTheProtocolsCloseAndEndsThem()
    {
        var consumer = Consumer();
        var reading = Read(consumer, "0");
        var next = reading.MoveNextAsync().AsTask();
        using var wire = await _hub.AcceptAsync();
        await wire.UntilAsync(() => wire.Readers.Any(link => link.Credit > 0));

        var disposed = consumer.DisposeAsync();

        await wire.UntilGoneAsync();
        Assert.Contains(AmqpStep.Closed, wire.End.Steps);
        await disposed;
        await Assert.ThrowsAsync<ObjectDisposedException>(() => next);
        await Assert.ThrowsAsync<ObjectDisposedException>(() => consumer.GetEventHubPropertiesAsync());
    }

    public void Dispose() => _hub.Dispose();

    private EventConsumer Consumer(EventConsumerOptions? options = null) => new(
        $"Endpoint=sb://localhost:{_hub.Port}/;SharedAccessKeyName=service;SharedAccessKey={Key};EntityPath=events",
        (options ?? new EventConsumerOptions()) with { CaFile = _hub.RootFile, Time = _time });

    private static IAsyncEnumerator<ReceivedEvent> Read(EventConsumer consumer, string partition, EventPosition from = default) =>
        consumer.ReadEventsFromPartitionAsync(partition, from, TestContext.Current.CancellationToken).GetAsyncEnumerator(TestContext.Current.CancellationToken);

    private static async Task SendAsync(AmqpWireConnection wire, AmqpSender link, long sequence, string body)
    {
        Assert.Equal(AmqpSendResult.Sent, link.TrySend(default, Event(sequence, body), [(byte)sequence], 0, settled: true, null));
        await wire.SayAsync();
    }

    private static byte[] Event(long sequence, string body)
    {
        var target = new byte[1024];
        HubAnnotations.Begin(target);
        var rest = new AmqpWriter(target.AsSpan(HubAnnotations.Length));
        rest.Symbol("iothub-connection-device-id"u8);
        rest.String("dev"u8);
        HubAnnotations.Finish(target.AsSpan(0, HubAnnotations.Length + rest.Written), HubAnnotations.Elements + 2);
        HubAnnotations.Patch(target, sequence, 1_000_000 + sequence);
        rest.Section(AmqpSection.ApplicationProperties);
        var map = rest.BeginMap();
        rest.String("warm"u8);
        rest.Boolean(true);
        rest.End(map, 2);
        rest.Section(AmqpSection.Data);
        rest.Binary(Encoding.UTF8.GetBytes(body));
        return target[..(HubAnnotations.Length + rest.Written)];
    }

    private static byte[] Hub(params string[] partitions)
    {
        var target = new byte[256];
        var writer = new AmqpWriter(target);
        var map = writer.BeginMap();
        writer.String("name"u8);
        writer.String("events"u8);
        writer.String("partition_ids"u8);
        var list = writer.BeginList();
        foreach (var partition in partitions)
            writer.String(Encoding.ASCII.GetBytes(partition));
        writer.End(list, partitions.Length);
        writer.End(map, 4);
        return target[..writer.Written];
    }

    private static byte[] Partition(string id, long last)
    {
        var target = new byte[256];
        var writer = new AmqpWriter(target);
        var map = writer.BeginMap();
        writer.String("partition"u8);
        writer.String(Encoding.ASCII.GetBytes(id));
        writer.String("begin_sequence_number"u8);
        writer.Long(3);
        writer.String("last_enqueued_sequence_number"u8);
        writer.Long(last);
        writer.String("last_enqueued_offset"u8);
        writer.String(Encoding.ASCII.GetBytes($"{last:D20}"));
        writer.String("is_partition_empty"u8);
        writer.Boolean(false);
        writer.End(map, 10);
        return target[..writer.Written];
    }

    private async Task ReconnectWaitAsync()
    {
        // Ticks of a connection last a second sharp; a wait with jitter next to never does.
        TimeSpan wait;
        do
            wait = await _time.WaitBeganAsync(TimeSpan.Zero, TimeSpan.FromSeconds(29));
        while (wait == TimeSpan.FromSeconds(1));

        _time.Advance(wait);
    }
}
