using Microsoft.Extensions.Logging.Abstractions;
using Sallyport.Storage.Metadata;
using Sallyport.Storage.Secrets;

namespace Sallyport.Tests.Storage.Metadata;

/// <summary>The SQLite store keeps the contract.</summary>
internal sealed class SqliteFixture : IDisposable
{
    public static readonly MasterKey Key = new(Enumerable.Range(0, 32).Select(i => (byte)i).ToArray());

    private readonly TemporaryDirectory _directory = new();
    private readonly SecretBox _secrets = new(new KeyRing(Key));

    public string Path => _directory["metadata.db"];

    public string DirectoryPath => _directory.Path;

    public Task<SqliteMetadata> OpenAsync() => OpenAsync(Path);

    public Task<SqliteMetadata> OpenAsync(string path) => SqliteMetadata.OpenAsync(path, _secrets, TimeProvider.System, NullLogger.Instance);

    public Task<SqliteMetadata> OpenAsync(IReadOnlyList<string> steps) =>
        SqliteMetadata.OpenAsync(Path, _secrets, TimeProvider.System, NullLogger.Instance, steps);

    public void Dispose()
    {
        _secrets.Dispose();
        _directory.Dispose();
    }
}

public sealed class SqliteTransactionTests : TransactionContract
{
    private readonly SqliteFixture _fixture = new();

    protected override async Task<IMetadata> OpenAsync() => await _fixture.OpenAsync();

    protected override ValueTask CleanUpAsync()
    {
        _fixture.Dispose();
        return ValueTask.CompletedTask;
    }
}

public sealed class SqliteIdentityTests : IdentityContract
{
    private readonly SqliteFixture _fixture = new();

    protected override async Task<IMetadata> OpenAsync() => await _fixture.OpenAsync();

    protected override ValueTask CleanUpAsync()
    {
        _fixture.Dispose();
        return ValueTask.CompletedTask;
    }
}

public sealed class SqliteStoresTests : StoresContract
{
    private readonly SqliteFixture _fixture = new();

    protected override async Task<IMetadata> OpenAsync() => await _fixture.OpenAsync();

    protected override ValueTask CleanUpAsync()
    {
        _fixture.Dispose();
        return ValueTask.CompletedTask;
    }
}

public sealed class SqliteCommandTests : CommandContract
{
    private readonly SqliteFixture _fixture = new();

    protected override async Task<IMetadata> OpenAsync() => await _fixture.OpenAsync();

    protected override ValueTask CleanUpAsync()
    {
        _fixture.Dispose();
        return ValueTask.CompletedTask;
    }
}

public sealed class SqliteConfigurationTests : ConfigurationContract
{
    private readonly SqliteFixture _fixture = new();

    protected override async Task<IMetadata> OpenAsync() => await _fixture.OpenAsync();

    protected override ValueTask CleanUpAsync()
    {
        _fixture.Dispose();
        return ValueTask.CompletedTask;
    }
}

public sealed class SqliteJobTests : JobContract
{
    private readonly SqliteFixture _fixture = new();

    protected override async Task<IMetadata> OpenAsync() => await _fixture.OpenAsync();

    protected override ValueTask CleanUpAsync()
    {
        _fixture.Dispose();
        return ValueTask.CompletedTask;
    }
}

public sealed class SqliteRegistryJobTests : RegistryJobContract
{
    private readonly SqliteFixture _fixture = new();

    protected override async Task<IMetadata> OpenAsync() => await _fixture.OpenAsync();

    protected override ValueTask CleanUpAsync()
    {
        _fixture.Dispose();
        return ValueTask.CompletedTask;
    }
}
