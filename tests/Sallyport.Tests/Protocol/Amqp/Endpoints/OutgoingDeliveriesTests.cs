using System.Buffers;
using Sallyport.Protocol.Amqp.Endpoints;
using Sallyport.Protocol.Amqp.Performatives;

namespace Sallyport.Tests.Protocol.Amqp.Endpoints;

public sealed class OutgoingDeliveriesTests
{
    private const int Bound = 64;
    private readonly OutgoingDeliveries _deliveries = new(Bound);
    private readonly AmqpSender _link = Link();

    // Against the plainest thing that could do it: a dictionary.
    [Theory]
    [InlineData(0u)]
    [InlineData(uint.MaxValue - 40)]
    [InlineData((uint)int.MaxValue - 40)]
    public void WhatItGives_IsWhatADictionaryGives(uint start)
    {
        var random = new Random(3);
        var waiting = new SortedDictionary<long, object>();
        long id = 0;
        for (var round = 0; round < 20_000; round++)
        {
            if (random.Next(3) > 0)
            {
                var next = unchecked(start + (uint)id);
                var room = waiting.Count == 0 || id - waiting.Keys.First() < Bound;
                Assert.Equal(room, _deliveries.HasRoomFor(next));
                if (room)
                {
                    waiting.Add(id, id);
                    _deliveries.Add(next, _link, id);
                }

                id += room ? 1 + (random.Next(5) == 0 ? random.Next(6) : 0) : 0;
                continue;
            }

            var from = Math.Max(0, id - random.Next(Bound * 2));
            var to = from + random.Next(20);
            var first = unchecked(start + (uint)from);
            var taken = new List<long>();
            while (_deliveries.TryTake(ref first, unchecked(start + (uint)to), settle: true, out _, out var link, out var context))
            {
                Assert.Same(_link, link);
                taken.Add((long)context!);
                if (unchecked((int)(start + (uint)to - first)) < 0)
                    break;
            }

            Assert.Equal(waiting.Keys.Where(k => k >= from && k <= to), taken);
            foreach (var key in taken)
                waiting.Remove(key);
        }
    }

    [Fact]
    public void Forget_FreesTheRoomOfALink()
    {
        var other = Link();
        for (uint id = 0; id < Bound; id++)
            _deliveries.Add(id, id % 2 == 0 ? _link : other, id);
        Assert.False(_deliveries.HasRoomFor(Bound));

        _deliveries.Forget(_link);

        Assert.True(_deliveries.HasRoomFor(Bound));
        uint first = 0;
        Assert.True(_deliveries.TryTake(ref first, Bound, settle: false, out var taken, out var link, out _));
        Assert.Equal(1u, taken);
        Assert.Same(other, link);
    }

    [Fact]
    public void Room_AfterBillionsOfSettledOnes_IsStillBounded()
    {
        _deliveries.Add(0, _link, null);

        Assert.False(_deliveries.HasRoomFor(0x8000_0001));
        Assert.False(_deliveries.HasRoomFor(uint.MaxValue));
    }

    private static AmqpSender Link() =>
        new(new AmqpSession(new AmqpConnection(new AmqpOptions(), isServer: true, new ArrayBufferWriter<byte>()), 0), new Attach { Name = "x" }, 0);
}
