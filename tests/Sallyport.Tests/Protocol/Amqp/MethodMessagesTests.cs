using System.Text;
using Sallyport.Protocol.Amqp;
using Sallyport.Protocol.Amqp.Messages;

namespace Sallyport.Tests.Protocol.Amqp;

public sealed class MethodMessagesTests
{
    private static readonly Guid Id = new("6b29fc40-ca47-1067-b31d-00dd010662da");

    [Theory]
    [InlineData("reboot", "{\"a\":1}")]
    [InlineData("größer*x", "null")]
    public void Request_Encoded_ReadsBack(string name, string payload)
    {
        var message = MethodMessages.EncodeRequest(Id, name, Encoding.UTF8.GetBytes(payload));

        Assert.True(StoredMessage.TryRead(message, out var sections));
        Assert.True(sections.TryGet(AmqpProperty.CorrelationId, out var id));
        Assert.Equal((AmqpType.Uuid, Id), (id.Type, id.Uuid)); // The Java client takes nothing else.
        Assert.True(MethodMessages.TryReadRequest(message, out var readId, out var readName, out var readPayload));
        Assert.Equal((Id, name, payload), (readId, readName, Encoding.UTF8.GetString(readPayload)));
    }

    [Fact]
    public void Response_Encoded_ReadsBack()
    {
        var message = MethodMessages.EncodeResponse(Id, -7, "\"done\""u8);

        Assert.True(MethodMessages.TryReadResponse(message, out var id, out var status, out var payload));
        Assert.Equal((Id.ToString("D"), -7, "\"done\""), (id, status, Encoding.UTF8.GetString(payload)));
    }

    [Fact]
    public void Response_CutAnywhere_IsNone_OrHasNoMoreThanThere()
    {
        var message = MethodMessages.EncodeResponse(Id, 200, "\"done\""u8);

        for (var length = 0; length < message.Length; length++)
        {
            if (MethodMessages.TryReadResponse(message.AsSpan(0, length), out var id, out _, out var payload))
                Assert.Equal((Id.ToString("D"), 0), (id, payload.Length));
        }
    }

    [Theory]
    [InlineData("00 53 75 a0 01 31")] // no properties at all
    [InlineData("00 53 73 45 00 53 75 a0 01 31")] // no correlation-id
    [InlineData("00 53 73 c0 08 06 40 40 40 40 40 41 00 53 75 a0 01 31")] // true for a correlation-id
    public void Response_WithoutAnId_IsNone(string message) =>
        Assert.False(MethodMessages.TryReadResponse(Convert.FromHexString(message.Replace(" ", "", StringComparison.Ordinal)), out _, out _, out _));
}
