using System.Buffers;
using Sallyport.Protocol.Mqtt;

namespace Sallyport.Tests.Protocol.Mqtt;

public sealed class MqttAcksTests
{
    private readonly MqttAcks _acks = new();

    [Fact]
    public void Take_GivesOnlyWhatIsOnDisk_InOrder() // [MQTT-4.6.0-2]
    {
        Stage(1, 2);
        _acks.Release(10);
        Stage(3);
        _acks.Release(20);
        Stage(4);

        Assert.Empty(Take(9));
        Assert.Equal([1, 2], Take(10));
        Assert.Equal([3], Take(long.MaxValue - 1));
        Assert.Equal(1, _acks.Count);
        _acks.Release(30);
        Assert.Equal([4], Take(30));
        Assert.Equal(0, _acks.Count);
    }

    [Fact]
    public void Staged_WithoutAPosition_IsNeverGiven()
    {
        Stage(1);

        Assert.Empty(Take(long.MaxValue));
        Assert.True(_acks.HasStaged);
    }

    [Fact]
    public void Drop_ForgetsWhatIsStagedAndNothingElse()
    {
        Stage(1);
        _acks.Release(1);
        Stage(2, 3);
        _acks.Drop();

        Assert.Equal([1], Take(long.MaxValue));
        Assert.False(_acks.HasStaged);
    }

    [Fact]
    public void Ring_WhileItGrowsAndTurns_KeepsTheOrder()
    {
        var random = new Random(7);
        ushort staged = 0, taken = 0;
        for (var step = 0; step < 2000; step++)
        {
            for (var i = random.Next(60); i > 0; i--)
                _acks.Stage(++staged);
            _acks.Release(staged);
            foreach (var id in Take(taken + random.Next(staged - taken + 1)))
                Assert.Equal(++taken, id);
            if (staged > 60_000)
                break;
        }

        Assert.Equal(staged - taken, Take(staged).Count);
    }

    private void Stage(params ushort[] ids)
    {
        foreach (var id in ids)
            _acks.Stage(id);
    }

    private List<int> Take(long committed)
    {
        var output = new ArrayBufferWriter<byte>();
        Assert.Equal(_acks.Take(committed, output), output.WrittenCount);
        return [.. output.WrittenSpan.ToArray().Chunk(4).Select(p => (p[2] << 8) | p[3])];
    }
}
