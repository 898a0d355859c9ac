using Sallyport.Protocol.Amqp.Messages;

namespace Sallyport.Tests.Protocol.Amqp.Messages;

public sealed class RequestMessageTests
{
    [Fact]
    public void Request_WithoutABodySection_IsRead() // azure-eventhub for Python sends READ so.
    {
        byte[] message =
        [
            .. Frames.Value(new Described(0x73, 0ul)),
            0, 0x53, 0x74, 0xc1, 18, 2, 0xa1, 9, .. "operation"u8, 0xa1, 4, .. "READ"u8,
        ];

        var request = RequestMessage.TryRead(message);

        Assert.Equal("READ", request?.Operation);
        Assert.Null(request!.Text);
    }
}
