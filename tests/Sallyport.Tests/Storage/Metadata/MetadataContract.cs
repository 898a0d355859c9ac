using Sallyport.Storage.Metadata;

namespace Sallyport.Tests.Storage.Metadata;

/// <summary>What every metadata store promises; a store passes by deriving from the classes of this contract.</summary>
public abstract class MetadataContract : IAsyncLifetime
{
    protected static readonly DateTimeOffset Noon = new(2026, 1, 2, 12, 0, 0, TimeSpan.Zero);

    internal IMetadata Metadata { get; private set; } = null!;

    public async ValueTask InitializeAsync() => Metadata = await OpenAsync();

    public async ValueTask DisposeAsync()
    {
        GC.SuppressFinalize(this);
        await Metadata.DisposeAsync();
        await CleanUpAsync();
    }

    /// <summary>Opens the store; the same one when called again.</summary>
    protected abstract Task<IMetadata> OpenAsync();

    protected abstract ValueTask CleanUpAsync();

    protected async Task ReopenAsync()
    {
        await Metadata.DisposeAsync();
        Metadata = await OpenAsync();
    }

    protected async Task WriteAsync(Action<MetadataTransaction> act) =>
        await Metadata.WriteAsync(tx =>
        {
            act(tx);
            return true;
        });

    protected static IdentityRecord Device(string id, string? module = null, string generation = "638000000000000000") => new()
    {
        DeviceId = id,
        ModuleId = module,
        GenerationId = generation,
        ETag = 7,
        PrimaryKey = "cHJpbWFyeQ==",
        SecondaryKey = "c2Vjb25kYXJ5",
    };
}
