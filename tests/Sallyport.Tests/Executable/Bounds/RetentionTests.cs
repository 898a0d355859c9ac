using Sallyport.Storage.EventLog;
using Sallyport.Tests.Storage.EventLog;

namespace Sallyport.Tests.Executable.Bounds;

public sealed class RetentionTests
{
    [Fact]
    public async Task Hub_Started_DropsWhatIsOlderThanItsRetention()
    {
        SegmentLog log = null!;
        var now = DateTimeOffset.UtcNow;
        await using var hub = await TestHub.StartAsync(settings => settings, new StepTime(now), async (options, key, time, logger) =>
        {
            await using (var before = await SegmentLog.OpenAsync(options, key, new StepTime(now.AddDays(-8)), logger))
                await before.CommitAsync(Records.Batch(0, "old"));
            return log = await SegmentLog.OpenAsync(options, key, time, logger);
        });

        // Makes the next segment; seals the old one and drops it.
        log.KeepUp();
        log.KeepUp();

        Assert.Equal(new StreamPartition(1, 1, log.Describe(StreamId.Events, 0).LastEnqueuedTime), log.Describe(StreamId.Events, 0));
    }
}
