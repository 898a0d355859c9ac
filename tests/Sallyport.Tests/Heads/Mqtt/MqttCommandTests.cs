using System.Text;
using Sallyport.Hub.Commands;
using Sallyport.Heads.Mqtt;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Messages;
using Sallyport.Protocol.Mqtt;
using Sallyport.Tests.Protocol.Mqtt;

namespace Sallyport.Tests.Heads.Mqtt;

public sealed class MqttCommandTests : IAsyncLifetime
{
    private const string Filter = "devices/d1/messages/devicebound/#";
    private const string ToD1 = "devices/d1/messages/devicebound/%24.to=%2Fdevices%2Fd1%2Fmessages%2FdeviceBound";

    private MqttTestHub _hub = null!;

    public async ValueTask InitializeAsync() => _hub = await MqttTestHub.StartAsync(new MqttOptions { MaxCommands = 2 });

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    [Fact] // [MQTT-2.3.1-4]
    public async Task Command_OfASubscribedDevice_IsPublishedInOrder_AndCompletedByItsPuback()
    {
        var device = await _hub.ConnectAsync();
        await SubscribeAsync(device);
        foreach (var id in new[] { "a", "b", "c" })
            await SendAsync(id);

        await device.ExpectAsync(Publish(1, "a"), Publish(2, "b"));
        await device.ExpectAliveAsync(); // No third one: two are not acknowledged.
        await device.SendAsync(Packets.PubAck(1));
        await device.ExpectAsync(Publish(3, "c"));
        await device.SendAsync(Packets.PubAck(3), Packets.PubAck(77), Packets.PubAck(3));
        await device.ExpectAliveAsync();
        await LeftAsync("b");
    }

    [Fact] // [MQTT-3.3.1-1] [MQTT-4.4.0-1]
    public async Task Command_NotAcknowledged_IsPublishedAgainAtTheNextConnection_WithDupAndTheSameId()
    {
        await SendAsync("a");
        var device = await _hub.ConnectAsync(clean: false);
        await SubscribeAsync(device);
        await device.ExpectAsync(Publish(1, "a"));
        await device.GoAwayAsync();
        await SendAsync("b");

        // Its session has the subscription.
        device = await _hub.ConnectAsync(clean: false, sessionPresent: true);
        await device.ExpectAsync(Publish(1, "a", dup: true), Publish(2, "b"));
        await device.SendAsync(Packets.PubAck(1), Packets.PubAck(2));
        await LeftAsync();
    }

    [Fact]
    public async Task Command_OfADeviceThatIsTakenOver_GoesToTheNewerConnection()
    {
        var older = await _hub.ConnectAsync(clean: false);
        await SubscribeAsync(older);
        await SendAsync("a");
        await older.ExpectAsync(Publish(1, "a"));

        var newer = await _hub.ConnectAsync(clean: false, sessionPresent: true);
        await newer.ExpectAsync(Publish(1, "a", dup: true));
    }

    [Fact]
    public async Task Command_AfterUnsubscribe_Waits()
    {
        var device = await _hub.ConnectAsync();
        await SubscribeAsync(device);
        await device.SendAsync(Packets.Of(o => MqttWriter.Unsubscribe(o, 9, [Filter])));
        await device.ExpectAsync(Packets.Of(o => MqttWriter.UnsubAck(o, 9)));
        await SendAsync("a");
        await device.ExpectAliveAsync();
        await LeftAsync("a");
    }

    [Fact] // [MQTT-3.3.1-2]
    public async Task Command_OfASubscriptionOfQoS0_IsSentOnce()
    {
        var device = await _hub.ConnectAsync();
        await SubscribeAsync(device, qos: 0);
        await SendAsync("a");
        await device.ExpectAsync(Packets.Of(o => MqttWriter.Publish(o, dup: false, qos: 0, retain: false, 0, Encoding.UTF8.GetBytes($"{ToD1}&%24.mid=a"), "a"u8)));
        await LeftAsync();
    }

    [Fact]
    public async Task Command_WithEveryProperty_HasThemInTheTopic()
    {
        var device = await _hub.ConnectAsync("d1/m1");
        await device.SendAsync(Packets.Of(o => MqttWriter.Subscribe(o, 5, [new MqttSubscription("devices/d1/modules/m1/#", 1)])));
        await device.ExpectAsync(Packets.Of(o => MqttWriter.SubAck(o, 5, [1])));
        var properties = new MessageProperties();
        properties.TrySet(SystemProperty.MessageId, "m/1"u8);
        properties.TrySet(SystemProperty.UserId, "svc"u8);
        properties.TrySet(SystemProperty.Ack, "full"u8);
        properties.TrySet(SystemProperty.AbsoluteExpiryTime, "2024-05-06T08:00:00Z"u8);
        properties.TryAdd("k 1"u8, "a/b=c&ü+"u8);
        properties.TryAdd("empty"u8, default);
        properties.TryAdd("none"u8, default, isNull: true);
        await _hub.Commands.EnqueueAsync(CommandDraft.Create(Identity.Of("d1", "m1"), properties, default), CancellationToken.None);

        Assert.Equal(
            "devices/d1/modules/m1/messages/devicebound/%24.to=%2Fdevices%2Fd1%2Fmodules%2Fm1%2Fmessages%2FdeviceBound&%24.mid=m%2F1&%24.uid=svc"
            + "&%24.exp=2024-05-06T08%3A00%3A00.0000000Z&iothub-ack=full&k%201=a%2Fb%3Dc%26%C3%BC%2B&empty=&none",
            (await device.ExpectMessageAsync()).Topic);
    }

    [Fact]
    public async Task Command_WhosePropertiesFitNoTopic_IsGivenUp()
    {
        var device = await _hub.ConnectAsync();
        await SubscribeAsync(device);
        var properties = new MessageProperties();
        properties.TryAdd("k"u8, Enumerable.Repeat((byte)'/', 30_000).ToArray());
        await _hub.Commands.EnqueueAsync(CommandDraft.Create(Identity.Of("d1"), properties, default), CancellationToken.None);
        await SendAsync("b");

        await device.ExpectAsync(Publish(2, "b"));
        await LeftAsync("b");
        Assert.Single(_hub.Commands.ListDead("d1", 0, 10));
    }

    [Fact]
    public async Task Commands_ForADeviceThatDoesNotRead_StayInTheirQueue()
    {
        await using var hub = await MqttTestHub.StartAsync(new MqttOptions { MaxPublishedBytes = 1000 });
        var device = await hub.ConnectAsync();
        await SubscribeAsync(device);
        for (var i = 0; i < 6; i++)
            await hub.Commands.EnqueueAsync(CommandDraft.Create(Identity.Of("d1"), new MessageProperties(), Encoding.ASCII.GetBytes($"{i}{new string('x', 60_000)}")), CancellationToken.None);

        // One is read nowhere but in the pipe, one does not fit there, one waits for that; the others are nobody's.
        await UntilAsync(() => hub.Commands.List(Identity.Of("d1"), 10).Count(one => one.IsLocked) == 3);
        for (var i = 0; i < 6; i++)
            Assert.Equal($"{i}x", (await device.ExpectMessageAsync()).Payload[..2]);
    }

    private static async Task SubscribeAsync(MqttTestClient device, byte qos = 1)
    {
        await device.SendAsync(Packets.Of(o => MqttWriter.Subscribe(o, 5, [new MqttSubscription(Filter, qos)])));
        await device.ExpectAsync(Packets.Of(o => MqttWriter.SubAck(o, 5, [qos])));
    }

    private static byte[] Publish(ushort packetId, string id, bool dup = false) =>
        Packets.Of(o => MqttWriter.Publish(o, dup, qos: 1, retain: false, packetId, Encoding.UTF8.GetBytes($"{ToD1}&%24.mid={id}"), Encoding.UTF8.GetBytes(id)));

    private async Task SendAsync(string id)
    {
        var properties = new MessageProperties();
        properties.TrySet(SystemProperty.MessageId, Encoding.UTF8.GetBytes(id));
        await _hub.Commands.EnqueueAsync(CommandDraft.Create(Identity.Of("d1"), properties, Encoding.UTF8.GetBytes(id)), CancellationToken.None);
    }

    // What was acknowledged goes from the queue by and by.
    private Task LeftAsync(params string[] ids) => UntilAsync(() => _hub.Commands.List(Identity.Of("d1"), 100).Select(one => one.Command.MessageId).SequenceEqual(ids));

    private static async Task UntilAsync(Func<bool> isSo)
    {
        using var patience = new CancellationTokenSource(MqttTestClient.Patience);
        while (!isSo())
        {
            patience.Token.ThrowIfCancellationRequested();
            await Task.Yield();
        }
    }
}
