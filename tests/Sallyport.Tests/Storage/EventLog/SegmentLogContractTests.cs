using Microsoft.Extensions.Logging.Abstractions;
using Sallyport.Storage.EventLog;

namespace Sallyport.Tests.Storage.EventLog;

public sealed class SegmentLogContractTests : LogContractTests
{
    private readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("sallyport-log-");

    protected override async Task<IEventLog> OpenAsync() =>
        await SegmentLog.OpenAsync(
            new SegmentLogOptions { Directory = _directory.FullName, SegmentBytes = 1024 * 1024, CommitBufferBytes = 256 * 1024, ReserveBytes = 0 },
            new byte[32], Time, NullLogger.Instance);

    public override async ValueTask DisposeAsync()
    {
        await base.DisposeAsync();
        _directory.Delete(recursive: true);
    }
}
