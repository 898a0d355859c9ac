using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Time.Testing;
using Sallyport.Heads;

namespace Sallyport.Tests.Heads;

public sealed class RefusalLinesTests
{
    [Fact]
    public void Refusals_BeyondTheBoundOfAMinute_AreCountedInOneLineOfALaterOne()
    {
        var time = new FakeTimeProvider();
        var written = new Lines();
        var lines = new RefusalLines(time, written);

        Assert.Equal(RefusalLines.PerMinute, Enumerable.Range(0, RefusalLines.PerMinute + 7).Count(_ => lines.MayWrite()));
        Assert.Empty(written.Written);
        time.Advance(TimeSpan.FromMinutes(1));
        Assert.True(lines.MayWrite());
        time.Advance(TimeSpan.FromMinutes(1));
        Assert.True(lines.MayWrite());

        Assert.StartsWith("7 more refusals", Assert.Single(written.Written));
    }

    private sealed class Lines : ILogger
    {
        public List<string> Written { get; } = [];

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            Written.Add(formatter(state, exception));
    }
}
