using Sallyport.Protocol.Amqp;

namespace Sallyport.Tests.Protocol.Amqp.Endpoints;

/// <summary>Bytes that no honest peer writes: what becomes of each, and that none of them costs memory.</summary>
public sealed class HostileFrameTests
{
    // What hearing may allocate besides what it has to keep: the test's own list of steps, an exception, the answer.
    private const int Small = 48 * 1024;

    private static Encoded ArrayOfNothing => new([0xf0, 0, 0, 0, 5, 0x10, 0, 0, 0, 0x40]); // 268 million nulls in ten bytes

    [Theory]
    [InlineData(0x40)]
    [InlineData(0x41)]
    [InlineData(0x43)]
    [InlineData(0x44)]
    [InlineData(0x45)]
    public void Open_WithAnArrayOf268MillionOfNothing_CostsNothing(byte element)
    {
        var server = Greeted();
        byte[] properties = [0xd1, 0, 0, 0, 18, 0, 0, 0, 2, 0xa3, 1, (byte)'k', 0xf0, 0, 0, 0, 5, 0x10, 0, 0, 0, element];
        byte[] open = Frames.Amqp(0, 0x10, "peer", null, null, null, null, null, null, null, null, new Encoded(properties));

        Assert.InRange(Allocated(server, open), 0, Small);

        Assert.Equal("open", server.Told()); // They are passed by unread.
    }

    [Fact]
    public void Open_ThatIsAnArrayOfNothing_Closes()
    {
        var server = Greeted();

        Assert.InRange(Allocated(server, Frames.Amqp(0, 0x10, ArrayOfNothing)), 0, Small);

        Assert.Equal("open, close amqp:decode-error", server.Told());
    }

    [Theory]
    [InlineData(1000)]
    [InlineData(7000)]
    public void Open_WithListsInLists_CostsNothing(int depth)
    {
        var server = Greeted();
        byte[] nested = [0x45];
        for (var i = 0; i < depth; i++)
            nested = [0xd0, .. BigEndian(nested.Length + 4), 0, 0, 0, 1, .. nested];
        byte[] open = Frames.Amqp(0, 0x10, "peer", null, null, null, null, null, null, null, null, new Encoded(Map(nested)));

        Assert.InRange(Allocated(server, open), 0, Small);

        Assert.Equal(open.Length > 65536 ? "open, close amqp:connection:framing-error" : "open", server.Told());
    }

    [Theory]
    [InlineData(8)]
    [InlineData(9)]
    [InlineData(60_000)]
    public void Frame_OfDescriptorsOfDescriptors_Closes(int depth)
    {
        var server = Greeted();

        Assert.InRange(Allocated(server, Frames.Of(0, 0, [.. new byte[depth], 0x43, 0x43, .. Enumerable.Repeat((byte)0x43, Math.Min(depth, 100))])), 0, Small);

        Assert.Equal("open, close amqp:decode-error", server.Told());
    }

    [Theory]
    [InlineData("filter")]
    [InlineData("property")]
    public void Attach_WithAnArrayOfNothing_IsReadNoFurther(string where)
    {
        var server = Driven.Server(frames: Frames.Begin());
        var map = new Encoded(Map(ArrayOfNothing.Bytes));
        byte[] attach = where == "filter"
            ? Frames.Amqp(0, 0x12, "n", 0u, true, null, null, new Described(0x28, "from", null, null, null, null, null, null, map), null)
            : Frames.Amqp(0, 0x12, "n", 0u, true, null, null, new Described(0x28, "from"), null, null, null, null, null, null, null, map);

        Assert.InRange(Allocated(server, attach), 0, Small);

        Assert.Equal("attach", server.Told());
        Assert.False(AmqpMap.Read(server.Sender.Attach.Source!.Filters).TryFind("k"u8, out _));
        Assert.False(server.Sender.Attach.TryFindProperty("k"u8, out _));
    }

    [Theory]
    [InlineData(0x10)]
    [InlineData(0x11)]
    [InlineData(0x12)]
    [InlineData(0x13)]
    [InlineData(0x14)]
    [InlineData(0x15)]
    [InlineData(0x16)]
    public void EveryPerformative_WithoutFields_Closes(byte code) // [AMQP-1.4]
    {
        var server = code == 0x10 ? Greeted() : Driven.Server(frames: Frames.Begin(7));

        server.Hear(Frames.Amqp(code == 0x11 ? (ushort)8 : (ushort)7, code));

        Assert.EndsWith("close amqp:decode-error", server.Told(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0x11)]
    [InlineData(0x12)]
    [InlineData(0x13)]
    [InlineData(0x14)]
    [InlineData(0x15)]
    [InlineData(0x16)]
    public void EveryPerformative_WithFieldsOfAWrongType_Closes(byte code) // [AMQP-1.4]
    {
        var server = Driven.Server(frames: Frames.Begin(7));

        server.Hear(Frames.Amqp(code == 0x11 ? (ushort)8 : (ushort)7, code, [.. Enumerable.Repeat<object?>(new Encoded([0xc0, 1, 0]), 14)]));

        Assert.Equal("close amqp:decode-error", server.Told());
    }

    [Theory]
    [InlineData("00 53 14 45", "amqp:decode-error")] // a list without fields
    [InlineData("00 53 99 45", "amqp:not-implemented")] // no such performative
    [InlineData("00 80 ffffffffffffffff 45", "amqp:not-implemented")]
    [InlineData("00 a3 0e 616d71703a666c6f773a6c697374 45", "amqp:decode-error")] // a descriptor in words, which nobody sends
    [InlineData("00 53 13 c1 01 00", "amqp:decode-error")] // a map for a list
    [InlineData("45", "amqp:decode-error")]
    [InlineData("ff", "amqp:decode-error")]
    [InlineData("00", "amqp:decode-error")]
    [InlineData("00 53 11 c0 03 05 40 43", "amqp:decode-error")] // says five fields, has two
    [InlineData("00 53 13 d0 0000 0006 0000 0001 43 43", "amqp:decode-error")] // says one field, has two; the second is mandatory
    [InlineData("00 53 13 d0 ffff ffff 0000 0001 43", "amqp:decode-error")]
    public void Frame_ThatHoldsNoGoodPerformative_Closes(string body, string condition)
    {
        var server = Driven.Server(frames: Frames.Begin());

        server.Hear(Frames.Of(0, 0, Convert.FromHexString(body.Replace(" ", ""))));

        Assert.Equal($"close {condition}", server.Told());
    }

    [Theory]
    [InlineData(1)] // SASL
    [InlineData(2)]
    [InlineData(255)]
    public void Frame_OfAnotherType_Closes(byte type) // [AMQP-2.3.1]
    {
        var server = Driven.Server();

        server.Hear(Frames.Of(type, 0, Frames.Value(new Described(0x11))));

        Assert.Equal("close amqp:connection:framing-error", server.Told());
    }

    [Fact]
    public void Frame_LargerThanAllowed_ClosesAtItsHeader() // [AMQP-2.7.1]
    {
        var server = Driven.Server();
        byte[] header = [0, 1, 0, 1, 2, 0, 0, 0];

        Assert.InRange(Allocated(server, header), 0, Small);

        Assert.Equal("close amqp:connection:framing-error", server.Told());
    }

    [Fact]
    public void Frame_WithAnExtendedHeader_IsAccepted() // [AMQP-2.3.1]
    {
        var server = Greeted();
        var open = Frames.Open();

        server.Hear(Frames.Of(0, 0, open[8..], offset: 3));

        Assert.Equal("open", server.Told());
    }

    [Theory]
    [InlineData("name")]
    [InlineData("address")]
    [InlineData("condition")]
    public void Text_ThatIsNotUtf8_Closes(string where)
    {
        var server = Driven.Server(frames: [Frames.Begin(), Frames.AttachSender()]);
        var broken = new Encoded([0xa1, 2, 0xc3, 0x28]);

        server.Hear(where switch
        {
            "name" => Frames.Amqp(0, 0x12, broken, 1u, false),
            "address" => Frames.Amqp(0, 0x12, "n", 1u, false, null, null, null, new Described(0x29, broken)),
            _ => Frames.Detach(0, error: new Described(0x1d, broken)),
        });

        Assert.Equal("close amqp:decode-error", server.Told());
    }

    [Fact]
    public void Error_WithATextWithoutEnd_Closes() // [AMQP-2.8.14]
    {
        var server = Driven.Server(frames: Frames.Begin());

        server.Hear(Frames.End(0, Frames.Error("amqp:internal-error", new string('x', 5000))));

        Assert.Equal("close amqp:decode-error", server.Told());
    }

    [Fact]
    public void Mechanisms_AreAnArrayOfNothing_ForAClient()
    {
        var client = new Driven(isServer: false);
        client.Connection.Start(new Sallyport.Protocol.Amqp.Performatives.SaslInit("PLAIN", []), "hub.test");

        Assert.InRange(Allocated(client, Frames.SaslHeader, Frames.Sasl(0x40, ArrayOfNothing)), 0, Small);

        Assert.NotNull(client.Broken);
    }

    private static Driven Greeted()
    {
        var server = new Driven(isServer: true);
        server.Hear(Frames.AmqpHeader);
        server.Said();
        return server;
    }

    private static long Allocated(Driven end, params byte[][] frames)
    {
        var bytes = Frames.Concat(frames);
        var before = GC.GetAllocatedBytesForCurrentThread();
        end.Hear(bytes, int.MaxValue);
        return GC.GetAllocatedBytesForCurrentThread() - before;
    }

    private static byte[] Map(byte[] value) => [0xd1, .. BigEndian(value.Length + 7), 0, 0, 0, 2, 0xa3, 1, (byte)'k', .. value];

    private static byte[] BigEndian(int value) => [(byte)(value >> 24), (byte)(value >> 16), (byte)(value >> 8), (byte)value];
}
