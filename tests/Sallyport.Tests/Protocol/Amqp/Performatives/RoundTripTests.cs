using Sallyport.Protocol.Amqp;
using Sallyport.Protocol.Amqp.Performatives;

namespace Sallyport.Tests.Protocol.Amqp.Performatives;

public sealed class RoundTripTests
{
    private delegate void Writing(ref AmqpWriter writer);

    private delegate T Reading<out T>(AmqpValue list);

    [Fact]
    public void Performative_WhatIsWritten_IsRead() // [AMQP-1.4]
    {
        var random = new Random(11);
        for (var round = 0; round < 2000; round++)
        {
            var open = new Open(Text(random), random.Next(2) == 0 ? null : Text(random), Number(random), (ushort)Number(random), Number(random));
            Assert.Equal(open, Again(open.Write, Open.Read));
            var begin = new Begin(random.Next(2) == 0 ? null : (ushort)Number(random), Number(random), Number(random), Number(random), Number(random));
            Assert.Equal(begin, Again(begin.Write, Begin.Read));
            var flow = new Flow(Maybe(random), Number(random), Number(random), Number(random), Maybe(random), Maybe(random), Maybe(random), Maybe(random), random.Next(2) == 0, random.Next(2) == 0);
            Assert.Equal(flow, Again(flow.Write, Flow.Read, Flow.Bound));
            var state = (DeliveryState)random.Next(0x23, 0x28);
            var disposition = new Disposition(random.Next(2) == 0, Number(random), Number(random), random.Next(2) == 0, state, state == DeliveryState.Rejected ? Error(random) : null);
            Assert.Equal(disposition, Again(disposition.Write, Disposition.Read, disposition.Bound));
            var detach = new Detach(Number(random), random.Next(2) == 0, random.Next(2) == 0 ? null : Error(random));
            Assert.Equal(detach, Again(detach.Write, Detach.Read));
        }
    }

    [Fact]
    public void Attach_WhatIsWritten_IsRead() // [AMQP-2.7.3]
    {
        var random = new Random(12);
        for (var round = 0; round < 500; round++)
        {
            var attach = new Attach
            {
                Name = Text(random), Handle = Number(random), IsReceiver = random.Next(2) == 0, SenderSettleMode = (SenderSettleMode)random.Next(3),
                ReceiverSettleMode = (ReceiverSettleMode)random.Next(2), MaxMessageSize = Number(random),
                Source = random.Next(3) == 0 ? null : Terminus.Of(Text(random), isSource: true, random.Next(2) == 0 ? default : [0xc1, 1, 0]),
                Target = random.Next(3) == 0 ? null : Terminus.Of(Text(random), isSource: false),
                Properties = random.Next(2) == 0 ? [] : [0xc1, 1, 0],
            };
            var read = Again(attach.Write, Attach.Read, attach.Bound);
            Assert.Equal((attach.Name, attach.Handle, attach.IsReceiver, attach.SenderSettleMode, attach.ReceiverSettleMode, attach.MaxMessageSize), (read.Name, read.Handle, read.IsReceiver, read.SenderSettleMode, read.ReceiverSettleMode, read.MaxMessageSize));
            Assert.Equal(attach.Source?.Address, read.Source?.Address);
            Assert.Equal(attach.Source?.Filters, read.Source?.Filters);
            Assert.Equal(attach.Source?.Encoded, read.Source?.Encoded);
            Assert.Equal(attach.Target?.Address, read.Target?.Address);
            Assert.Equal(attach.Properties, read.Properties);
        }
    }

    private static T Again<T>(Writing write, Reading<T> read, int bound = 8192)
    {
        var bytes = new byte[bound];
        var writer = new AmqpWriter(bytes);
        write(ref writer);
        var reader = new AmqpReader(bytes.AsSpan(0, writer.Written));
        Assert.True(reader.TryRead(out var value));
        Assert.True(Fields.TryDescribed(value, out _, out var list));
        return read(list);
    }

    private static uint Number(Random random) => random.Next(3) switch { 0 => (uint)random.Next(300), 1 => uint.MaxValue - (uint)random.Next(300), _ => (uint)random.NextInt64(1L << 32) };

    private static uint? Maybe(Random random) => random.Next(2) == 0 ? null : Number(random);

    private static string Text(Random random) => new(random.Next(2) == 0 ? 'x' : 'ü', random.Next(300));

    private static AmqpError Error(Random random) => new(new string('c', random.Next(1, 256)), Text(random));
}
