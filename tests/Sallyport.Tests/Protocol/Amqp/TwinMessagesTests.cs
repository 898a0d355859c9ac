using Sallyport.Protocol.Amqp;
using Sallyport.Protocol.Amqp.Messages;

namespace Sallyport.Tests.Protocol.Amqp;

public sealed class TwinMessagesTests
{
    [Theory]
    [InlineData("GET", null, TwinOperation.Get)]
    [InlineData("get", null, TwinOperation.Get)]
    [InlineData("PATCH", "/properties/reported", TwinOperation.Report)]
    [InlineData("PATCH", "/properties/reported/", TwinOperation.Report)]
    [InlineData("PUT", "/notifications/twin/properties/desired", TwinOperation.Subscribe)]
    [InlineData("DELETE", "/notifications/twin/properties/desired", TwinOperation.Unsubscribe)]
    [InlineData("PATCH", "/properties/desired", TwinOperation.Unknown)]
    [InlineData("PUT", null, TwinOperation.Unknown)]
    [InlineData(null, null, TwinOperation.Unknown)]
    public void TryReadRequest_SaysWhatIsAsked(string? operation, string? resource, TwinOperation expected) =>
        Assert.Equal(expected, TwinMessages.TryReadRequest(Request(operation, resource, "{}"))!.Operation);

    [Fact]
    public void TryReadRequest_WithoutABody_AsTheCSharpClientSendsIt_IsOne()
    {
        var request = TwinMessages.TryReadRequest(Request("GET", null, body: null))!;

        Assert.Equal((TwinOperation.Get, 0), (request.Operation, request.Body.Length));
    }

    [Fact]
    public void TryReadRequest_WithoutACorrelationId_IsNone()
    {
        Assert.Null(TwinMessages.TryReadRequest(Request("GET", null, "{}", id: null)));
        Assert.Null(TwinMessages.TryReadRequest([1, 2, 3]));
        Assert.Null(TwinMessages.TryReadRequest([]));
    }

    [Fact]
    public void EncodeResponse_SaysTheIdBackWithItsType_AndTheStatusAsInt()
    {
        var id = Guid.Parse("00112233-4455-6677-8899-aabbccddeeff");
        Span<byte> encoded = stackalloc byte[32];
        var writer = new AmqpWriter(encoded);
        writer.Uuid(id);

        Assert.True(StoredMessage.TryRead(TwinMessages.EncodeResponse(encoded[..writer.Written], 204, 7, []), out var message));
        Assert.True(message.TryGet(AmqpProperty.CorrelationId, out var correlation));
        Assert.Equal((AmqpType.Uuid, id), (correlation.Type, correlation.Uuid));
        Assert.True(message.Annotations.TryFind("status"u8, out var status));
        Assert.Equal((AmqpType.Int, 204L), (status.Type, status.Signed));
        Assert.True(message.Annotations.TryFind("version"u8, out var version));
        Assert.Equal((AmqpType.Long, 7L), (version.Type, version.Signed));
    }

    [Fact]
    public void EncodeNotification_HasNoCorrelationId()
    {
        Assert.True(StoredMessage.TryRead(TwinMessages.EncodeNotification("{\"a\":1}"u8), out var message));

        Assert.False(message.TryGet(AmqpProperty.CorrelationId, out _));
        Assert.Equal("{\"a\":1}"u8, message.Body);
    }

    private static byte[] Request(string? operation, string? resource, string? body, string? id = "Get1")
    {
        var target = new byte[512];
        var writer = new AmqpWriter(target);
        writer.Section(AmqpSection.MessageAnnotations);
        var map = writer.BeginMap();
        var elements = Annotation(ref writer, "operation", operation) + Annotation(ref writer, "resource", resource);
        writer.End(map, elements);
        writer.Section(AmqpSection.Properties);
        var list = writer.BeginList();
        for (var place = AmqpProperty.MessageId; place < AmqpProperty.CorrelationId; place++)
            writer.Null();
        if (id is null)
            writer.Null();
        else
            writer.String(System.Text.Encoding.UTF8.GetBytes(id));
        writer.End(list, (int)AmqpProperty.CorrelationId + 1);
        if (body is not null)
        {
            writer.Section(AmqpSection.Data);
            writer.Binary(System.Text.Encoding.UTF8.GetBytes(body));
        }

        return target[..writer.Written];
    }

    private static int Annotation(ref AmqpWriter writer, string name, string? value)
    {
        if (value is null)
            return 0;

        writer.Symbol(System.Text.Encoding.ASCII.GetBytes(name));
        writer.String(System.Text.Encoding.UTF8.GetBytes(value));
        return 2;
    }
}
