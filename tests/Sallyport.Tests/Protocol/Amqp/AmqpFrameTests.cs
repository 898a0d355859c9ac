using System.Buffers;
using Sallyport.Protocol.Amqp;
using Sallyport.Tests.Protocol.Mqtt;

namespace Sallyport.Tests.Protocol.Amqp;

public sealed class AmqpFrameTests
{
    [Theory]
    [InlineData("00000000 02 00 0000")]
    [InlineData("00000003 02 00 0000")]
    [InlineData("00000007 02 00 0000")]
    [InlineData("00000008 00 00 0000")] // offset 0
    [InlineData("00000008 01 00 0000")]
    [InlineData("0000000b 03 00 0000")] // the body begins behind the frame
    [InlineData("00000010 ff 00 0000")]
    [InlineData("ffffffff 02 00 0000")]
    [InlineData("80000000 02 00 0000")]
    [InlineData("00000401 02 00 0000")] // larger than allowed
    public void Size_ThatIsImpossible_IsRefusedAtTheHeader(string hex) // [AMQP-2.3.1] [AMQP-2.7.1]
    {
        var input = new ReadOnlySequence<byte>(Convert.FromHexString(hex.Replace(" ", "")));
        byte[]? scratch = null;

        var refusal = Assert.Throws<AmqpProtocolException>(() => AmqpFrame.TryRead(ref input, 1024, ref scratch, out _));

        Assert.Equal(AmqpConditions.FramingError, refusal.Error.Condition);
        Assert.Null(scratch);
    }

    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(255)]
    public void Body_BeginsBehindAnExtendedHeader(byte offset) // [AMQP-2.3.1]
    {
        var input = new ReadOnlySequence<byte>([.. Frames.Of(0, 0x1234, [5, 6], offset), 99]);
        byte[]? scratch = null;

        Assert.True(AmqpFrame.TryRead(ref input, 4096, ref scratch, out var frame));

        Assert.Equal([5, 6], frame.Body.ToArray());
        Assert.Equal(0x1234, frame.Channel);
        Assert.Equal(1, input.Length);
    }

    [Fact]
    public void Frame_InPiecesOfAnySize_IsTheSame()
    {
        var body = Enumerable.Range(0, 300).Select(i => (byte)i).ToArray();
        byte[] bytes = [.. Frames.Of(1, 7, body), .. Frames.Heartbeat];
        for (var size = 1; size <= bytes.Length; size++)
        {
            var input = Packets.InSegments(bytes, size);
            byte[]? scratch = null;
            Assert.True(AmqpFrame.TryRead(ref input, 1024, ref scratch, out var frame));
            Assert.Equal(AmqpFrame.SaslType, frame.Type);
            Assert.Equal(body, frame.Body.ToArray());
            Assert.True(AmqpFrame.TryRead(ref input, 1024, ref scratch, out frame));
            Assert.True(frame.Body.IsEmpty);
            Assert.True(input.IsEmpty);
        }
    }

    [Fact]
    public void Frame_ThatIsNotWhole_LeavesTheInput()
    {
        var bytes = Frames.Of(0, 0, [1, 2, 3]);
        for (var length = 0; length < bytes.Length; length++)
        {
            var input = new ReadOnlySequence<byte>(bytes[..length]);
            byte[]? scratch = null;
            Assert.False(AmqpFrame.TryRead(ref input, 1024, ref scratch, out _));
            Assert.Equal(length, input.Length);
        }
    }
}
