using Sallyport.Hub.Limits;

namespace Sallyport.Tests.Hub.Limits;

public sealed class HandshakeGateTests
{
    [Fact]
    public void Gate_LetsSoManyIn_AndTheOthersInTheirOrder()
    {
        var gate = new HandshakeGate(2);
        var entered = Enumerable.Range(0, 5).Select(_ => gate.EnterAsync()).ToList();
        Assert.Equal([true, true, false, false, false], entered.Select(turn => turn.IsCompleted));
        Assert.Equal(3, gate.Waiting);

        gate.Leave();
        Assert.Equal([true, true, true, false, false], entered.Select(turn => turn.IsCompleted));

        for (var i = 0; i < 4; i++)
            gate.Leave();
        Assert.Equal(0, gate.Waiting);
        Assert.All(entered, turn => Assert.True(turn.IsCompleted));
        Assert.True(gate.EnterAsync().IsCompleted);
    }
}
