using Sallyport.Storage.EventLog;

namespace Sallyport.Tests.Storage.EventLog;

public sealed class MemoryLogContractTests : LogContractTests
{
    protected override Task<IEventLog> OpenAsync() => Task.FromResult<IEventLog>(new MemoryLog(Time));
}
