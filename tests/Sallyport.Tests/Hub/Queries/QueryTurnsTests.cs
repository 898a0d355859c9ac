using Sallyport.Hub.Queries;
using Sallyport.Protocol.Errors;

namespace Sallyport.Tests.Hub.Queries;

public sealed class QueryTurnsTests
{
    private readonly StepTime _time = new();

    [Fact]
    public async Task Queries_MoreThanAtOnce_WaitTheirTurn_AndBeyondThatAreThrottled()
    {
        using var turns = new QueryTurns(new QueryLimits { AtOnce = 1, MaxWaiting = 1 }, _time);
        var first = await turns.TakeAsync(TestContext.Current.CancellationToken);
        var second = turns.TakeAsync(TestContext.Current.CancellationToken).AsTask();

        var refusal = await Assert.ThrowsAsync<HubException>(() => turns.TakeAsync(TestContext.Current.CancellationToken).AsTask());
        Assert.Same(HubErrors.Throttled, refusal.Error);
        Assert.NotNull(refusal.RetryAfter);
        Assert.False(second.IsCompleted);

        first.Dispose();
        (await second).Dispose();
        (await turns.TakeAsync(TestContext.Current.CancellationToken)).Dispose();
    }

    [Fact]
    public async Task Turn_ThatDoesNotCome_IsThrottledAfterTheTimeOfAQuery()
    {
        using var turns = new QueryTurns(new QueryLimits { AtOnce = 1 }, _time);
        using var first = await turns.TakeAsync(TestContext.Current.CancellationToken);
        var second = turns.TakeAsync(TestContext.Current.CancellationToken).AsTask();

        _time.Advance(new QueryLimits().MaxTime);

        Assert.Same(HubErrors.Throttled, (await Assert.ThrowsAsync<HubException>(() => second)).Error);
    }

    [Fact]
    public async Task Turn_ThatNobodyWaitsForAnyMore_IsGivenUp()
    {
        using var turns = new QueryTurns(new QueryLimits { AtOnce = 1, MaxWaiting = 1 }, _time);
        using var gone = new CancellationTokenSource();
        using var first = await turns.TakeAsync(TestContext.Current.CancellationToken);
        var second = turns.TakeAsync(gone.Token).AsTask();
        await gone.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => second);
        Assert.False(turns.TakeAsync(TestContext.Current.CancellationToken).AsTask().IsCompleted);
    }
}
