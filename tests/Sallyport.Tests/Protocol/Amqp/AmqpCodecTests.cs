using System.Text;
using Sallyport.Protocol.Amqp;

namespace Sallyport.Tests.Protocol.Amqp;

public sealed class AmqpCodecTests
{
    [Fact]
    public void Writer_WhatItWrites_TheReaderReads()
    {
        var buffer = new byte[4096];
        var writer = new AmqpWriter(buffer);
        writer.Null();
        writer.Boolean(true);
        writer.Long(-5);
        writer.Timestamp(1_700_000_000_000);
        writer.String("grüße"u8);
        writer.Symbol("sym"u8);
        writer.Binary(new byte[300]);
        var list = writer.BeginList();
        writer.String("in"u8);
        writer.End(list, 1);

        var reader = new AmqpReader(buffer.AsSpan(0, writer.Written));
        Assert.Equal(AmqpType.Null, Next(ref reader).Type);
        Assert.True(Next(ref reader).Boolean);
        Assert.Equal(-5, Next(ref reader).Signed);
        Assert.Equal(1_700_000_000_000, Next(ref reader).Signed);
        Assert.Equal("grüße", Encoding.UTF8.GetString(Next(ref reader).Content));
        Assert.Equal(AmqpType.Symbol, Next(ref reader).Type);
        Assert.Equal(300, Next(ref reader).Content.Length);
        var inner = Next(ref reader).Elements();
        Assert.Equal("in", Encoding.UTF8.GetString(Next(ref inner).Content));
        Assert.True(inner.AtEnd);
        Assert.True(reader.AtEnd);
    }

    // Encodings of AMQP 1.0 part 1, byte for byte. [AMQP-1.6]
    [Theory]
    [InlineData("40", AmqpType.Null)]
    [InlineData("5601", AmqpType.Boolean)]
    [InlineData("50ff", AmqpType.UByte)]
    [InlineData("600102", AmqpType.UShort)]
    [InlineData("43", AmqpType.UInt)]
    [InlineData("5205", AmqpType.UInt)]
    [InlineData("7000000005", AmqpType.UInt)]
    [InlineData("44", AmqpType.ULong)]
    [InlineData("800000000000000005", AmqpType.ULong)]
    [InlineData("51ff", AmqpType.Byte)]
    [InlineData("61fffe", AmqpType.Short)]
    [InlineData("54fb", AmqpType.Int)]
    [InlineData("55fb", AmqpType.Long)]
    [InlineData("723f800000", AmqpType.Float)]
    [InlineData("823ff0000000000000", AmqpType.Double)]
    [InlineData("730000263a", AmqpType.Char)]
    [InlineData("98000102030405060708090a0b0c0d0e0f", AmqpType.Uuid)]
    [InlineData("94000102030405060708090a0b0c0d0e0f", AmqpType.Decimal)]
    [InlineData("45", AmqpType.List)]
    [InlineData("c00100", AmqpType.List)]
    [InlineData("c10100", AmqpType.Map)]
    [InlineData("e0040252 0102", AmqpType.Array)]
    [InlineData("005370c00100", AmqpType.Described)]
    public void Reader_EveryType_IsOneStep(string hex, AmqpType type)
    {
        var reader = new AmqpReader(Bytes(hex));

        Assert.True(reader.TryRead(out var value));
        Assert.Equal(type, value.Type);
        Assert.True(reader.AtEnd);
        Assert.Equal(Bytes(hex).Length, reader.Consumed);
    }

    [Fact]
    public void Numbers_KeepSignAndSize()
    {
        Assert.Equal(-5, One("54fb").Signed);
        Assert.Equal(-2, One("61fffe").Signed);
        Assert.Equal(ulong.MaxValue, One("80ffffffffffffffff").Unsigned);
        Assert.Equal(1.0, One("723f800000").Real);
        Assert.Equal(1.0, One("823ff0000000000000").Real);
        Assert.Equal(0x263Au, One("730000263a").Unsigned);
        Assert.Equal(Guid.Parse("00010203-0405-0607-0809-0a0b0c0d0e0f"), One("98000102030405060708090a0b0c0d0e0f").Uuid);
        Assert.False(One("42").Boolean);
    }

    [Fact]
    public void Array_GivesItsElements()
    {
        var elements = One("e004025201ff").Elements();

        Assert.Equal(1u, Next(ref elements).Unsigned);
        Assert.Equal(255u, Next(ref elements).Unsigned);
        Assert.True(elements.AtEnd);
        Assert.False(elements.TryRead(out _));
    }

    [Theory]
    [InlineData("a1")] // no length
    [InlineData("a10561")] // shorter than it says [AMQP-1.2.2]
    [InlineData("b1ffffffff61")] // negative length
    [InlineData("b17fffffff61")]
    [InlineData("80000000")] // [AMQP-1.2.1]
    [InlineData("5602")] // neither true nor false
    [InlineData("c00205")] // five elements in one byte [AMQP-1.2.3]
    [InlineData("c1020140")] // a key without a value
    [InlineData("d0000000087fffffff40404040")] // 2^31 elements
    [InlineData("f00000000510000000 40")] // 268 million nulls [AMQP-1.2.4]
    [InlineData("e0030100ff")] // an array of described values
    [InlineData("0053")] // descriptor cut off
    [InlineData("005372")] // nothing described
    [InlineData("000000000000000000 53 72 40")] // nine descriptors [AMQP-1.5]
    [InlineData("39")] // no such constructor
    public void Reader_NotValid_SaysSoAndStays(string hex)
    {
        var reader = new AmqpReader(Bytes(hex));

        Assert.False(reader.TryRead(out _));
        Assert.False(reader.AtEnd);
        Assert.Equal(0, reader.Consumed);
    }

    [Theory]
    [InlineData("")] // no body
    [InlineData("005373c00100")] // properties alone
    [InlineData("005375a000005375a000")] // two bodies
    [InlineData("005375a000005377a000")]
    [InlineData("005375a000005373c00100")] // wrong order
    [InlineData("005372c00100005375a000")] // annotations that are a list
    [InlineData("005375a100")] // data that is a string
    [InlineData("005379a000")] // no such section
    [InlineData("00a30164a000")] // a symbolic descriptor
    [InlineData("005375a00000")] // something behind it
    public void StoredMessage_NotSections_IsRefused(string hex) => // [AMQP-3.2]
        Assert.False(StoredMessage.TryRead(Bytes(hex), out _));

    [Fact]
    public void StoredMessage_WithOtherBodies_TellsWhich()
    {
        Assert.True(StoredMessage.TryRead(Bytes("00537754fb"), out var value));
        Assert.Equal(AmqpSection.AmqpValue, value.BodySection);
        Assert.Equal(-5, value.BodyValue.Signed);
        Assert.True(StoredMessage.TryRead(Bytes("005376c0040254fb40"), out var sequence));
        Assert.Equal(AmqpSection.AmqpSequence, sequence.BodySection);
        Assert.Equal(2, sequence.BodyValue.Count);
    }

    // Mutations of a good message: whatever the bytes, reading ends, stays inside them and does not throw.
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Reader_OfAnything_EndsWithoutThrowing(int seed)
    {
        var random = new Random(seed);
        var good = Bytes("005372 c11304 a30161 a10162 a30163 810000000000000007 005373 c00602a10131a000 005374 c10b04 a1016b a10176 a1016e 40 005375 a003616263");
        Assert.True(StoredMessage.TryRead(good, out _));
        for (var round = 0; round < 20_000; round++)
        {
            byte[] bytes;
            if (round % 4 == 0)
            {
                bytes = new byte[random.Next(64)];
                random.NextBytes(bytes);
            }
            else
            {
                bytes = good[..random.Next(good.Length + 1)];
                for (var i = random.Next(1, 6); i > 0 && bytes.Length > 0; i--)
                    bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
            }

            if (StoredMessage.TryRead(bytes, out var message))
            {
                foreach (var pair in message.Annotations)
                    Walk(pair.Value, 0);
                foreach (var pair in message.ApplicationProperties)
                    Walk(pair.Value, 0);
                for (var p = AmqpProperty.MessageId; p <= AmqpProperty.ReplyToGroupId; p++)
                    message.TryGet(p, out _);
                Walk(message.BodyValue, 0);
            }

            var reader = new AmqpReader(bytes);
            while (reader.TryRead(out var value))
                Walk(value, 0);
            Assert.InRange(reader.Consumed, 0, bytes.Length);
        }
    }

    private static void Walk(AmqpValue value, int depth)
    {
        _ = value.Signed + (long)value.Unsigned + (long)value.Content.Length;
        _ = value.Real;
        _ = value.Uuid;
        _ = value.Boolean;
        if (depth == 8 || value.Type is not (AmqpType.List or AmqpType.Map or AmqpType.Array or AmqpType.Described))
            return;

        var elements = value.Elements();
        while (elements.TryRead(out var element))
            Walk(element, depth + 1);
    }

    private static AmqpValue Next(scoped ref AmqpReader reader)
    {
        Assert.True(reader.TryRead(out var value));
        return value;
    }

    private static AmqpValue One(string hex)
    {
        var reader = new AmqpReader(Bytes(hex));
        return Next(ref reader);
    }

    private static byte[] Bytes(string hex) => Convert.FromHexString(hex.Replace(" ", ""));
}
