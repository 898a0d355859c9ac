using System.Globalization;
using Sallyport.Mutants.EventLog;
using Sallyport.Storage.EventLog;

namespace Sallyport.Tests.Storage.EventLog;

public sealed class SegmentLogFaultTests
{
    private static int Runs => int.Parse(Environment.GetEnvironmentVariable("SALLYPORT_FAULT_RUNS") ?? "150", CultureInfo.InvariantCulture);

    [Fact]
    public async Task SegmentLog_CrashedInAnyOperation_LosesNothingAcknowledgedAndInventsNothing()
    {
        for (var seed = 1; seed <= Runs; seed++)
            await FaultRun.RunAsync(seed);
    }

    [Fact]
    public async Task MutantThatSkipsTheSync_SameRuns_IsCaught()
    {
        var caught = 0;
        for (var seed = 1; seed <= 150; seed++)
        {
            try
            {
                await FaultRun.RunAsync(seed, files => new UnsyncedFiles(files));
            }
            catch (Exception broken) when (broken is FaultRunException or LogFormatException)
            {
                caught++;
            }
        }

        Assert.True(caught > 10, $"only {caught} of 150 runs noticed that nothing was synced");
    }
}
