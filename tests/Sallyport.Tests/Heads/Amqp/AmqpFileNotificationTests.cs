using System.Text;
using System.Text.Json.Nodes;
using Sallyport.Protocol.Amqp;
using Sallyport.Storage.Metadata;
using Sallyport.Tests.Protocol.Amqp;

namespace Sallyport.Tests.Heads.Amqp;

/// <summary>What services are told of file uploads over AMQP.</summary>
public sealed class AmqpFileNotificationTests : IAsyncLifetime
{
    private AmqpTestHub _hub = null!;

    public async ValueTask InitializeAsync() => _hub = await AmqpTestHub.StartAsync();

    public async ValueTask DisposeAsync() => await _hub.DisposeAsync();

    [Theory]
    [InlineData("/messages/serviceBound/filenotifications")]
    [InlineData("messages/servicebound/fileuploadnotifications")]
    public async Task Notification_IsOneReceivers_InTheFormThatSdksRead_AndGoneOnceAccepted(string address)
    {
        var (first, second) = (await ReceiverAsync(address), await ReceiverAsync(address));
        await ToldAsync("d1/a b.txt");

        var heard = await Task.WhenAny(first.HearAsync(), second.HearAsync());
        var transfer = await heard;
        Assert.Equal(("transfer", 16), (transfer.Name, ((byte[])transfer.Fields[2]!).Length));
        Assert.True(StoredMessage.TryRead(transfer.Payload, out var message));
        Assert.True(message.TryGet(AmqpProperty.ContentType, out var type));
        Assert.Equal("application/vnd.microsoft.iothub.filenotification.json", Encoding.ASCII.GetString(type.Content));
        Assert.True(message.Annotations.TryFind("iothub-deliverycount"u8, out var count));
        Assert.Equal(0ul, count.Unsigned);
        var told = JsonNode.Parse(message.BodyValue.Content)!;
        Assert.Equal(("d1", "d1/a b.txt", 7L), ((string)told["deviceId"]!, (string)told["blobName"]!, (long)told["blobSizeInBytes"]!));
        Assert.Equal(["deviceId", "blobUri", "blobName", "lastUpdatedTime", "blobSizeInBytes", "enqueuedTimeUtc"], told.AsObject().Select(field => field.Key));
        Assert.Null(_hub.FileNotifications.Receive(null));
    }

    [Fact]
    public async Task Notification_Released_ComesAgain_AndRejectedIsGone()
    {
        var service = await ReceiverAsync("/messages/serviceBound/filenotifications");
        await ToldAsync("d1/a");
        var transfer = Assert.Single(await service.ExpectAsync("transfer"));
        await service.SendAsync(Frames.Disposition((uint)transfer.Fields[1]!, state: Frames.Released));
        var again = Assert.Single(await service.ExpectAsync("transfer"));
        Assert.True(StoredMessage.TryRead(again.Payload, out var message));
        Assert.True(message.Annotations.TryFind("iothub-deliverycount"u8, out var count));
        Assert.Equal(1ul, count.Unsigned);
        await service.SendAsync(Frames.Disposition((uint)again.Fields[1]!, settled: false, state: Frames.Accepted));
        await service.ExpectAsync("disposition");
        service.Abort();
        Assert.Empty(_hub.Access.Metadata.Read(tx => _hub.Access.Metadata.FileNotifications.List(tx, 0, 10)));
    }

    [Fact]
    public async Task Notification_OfAReceiverThatGoes_IsAnothers()
    {
        var service = await ReceiverAsync("/messages/serviceBound/filenotifications");
        await ToldAsync("d1/a");
        await service.ExpectAsync("transfer");
        service.Abort();
        await (await ReceiverAsync("/messages/serviceBound/filenotifications")).ExpectAsync("transfer");
        Assert.Contains(_hub.Access.Audit.Entries, entry => entry is { Action: "file-notification read", Principal: "policy:service", Result: "done" });
    }

    private async Task<AmqpTestClient> ReceiverAsync(string address)
    {
        var service = await _hub.ServiceAsync();
        await service.SendAsync(Frames.AttachReceiver(2, "files", address), Frames.Credit(2, 0, 10));
        await service.ExpectAsync("attach");
        return service;
    }

    private async Task ToldAsync(string blobName)
    {
        var now = _hub.Time.GetUtcNow();
        await _hub.Access.Metadata.WriteAsync(tx => _hub.FileNotifications.Add(
            tx, new FileNotificationRecord(0, "d1", blobName, "https://hub.test/uploads/d1/a", 7, now, now, now.AddHours(1), 0)));
        _hub.FileNotifications.Added(0);
    }
}
