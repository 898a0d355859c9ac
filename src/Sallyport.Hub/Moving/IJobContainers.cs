namespace Sallyport.Hub.Moving;

/// <summary>
/// Blob containers that jobs read from and write to, each by an address with a signature (SAS) that opens it. The executable binds it to whatever
/// speaks to the account. Thread-safe. Nothing it says or throws holds a signature.
/// </summary>
public interface IJobContainers
{
    /// <summary>What is wrong with an address, before anything is connected to; null when nothing is.</summary>
    string? ProblemOf(Uri container);

    /// <summary>Opens a blob for reading from its beginning.</summary>
    /// <exception cref="IOException">It is not there, the container refuses, or it cannot be reached or may not be; says which.</exception>
    Task<BlobReading> OpenAsync(Uri container, string blob, CancellationToken cancel);

    /// <summary>Begins a blob; there is nothing of it until <see cref="IBlobWriting.CommitAsync"/>.</summary>
    IBlobWriting Create(Uri container, string blob);
}

/// <param name="Content">Reading may throw <see cref="IOException"/>, also when the blob was changed meanwhile.</param>
public sealed record BlobReading(Stream Content, long Bytes) : IAsyncDisposable
{
    public ValueTask DisposeAsync() => Content.DisposeAsync();
}

/// <summary>A blob that is being written, block by block. Not thread-safe.</summary>
public interface IBlobWriting
{
    /// <exception cref="IOException">The container does not take it; says why.</exception>
    Task AddAsync(ReadOnlyMemory<byte> block, CancellationToken cancel);

    /// <summary>Makes the blob of the blocks, in place of one of this name.</summary>
    /// <inheritdoc cref="AddAsync" path="/exception"/>
    Task CommitAsync(CancellationToken cancel);
}
