using Sallyport.Hub.Moving;
using Sallyport.Services.Blobs;
using Sallyport.Services.Outgoing;

namespace Sallyport.Moving;

/// <summary>What jobs read and write, at accounts of Azure's kind. Thread-safe.</summary>
internal sealed class JobContainers(OutgoingOptions outgoing) : IJobContainers, IDisposable
{
    private readonly SignedContainers _containers = new(outgoing);

    public string? ProblemOf(Uri container) => _containers.ProblemOf(container);

    public async Task<BlobReading> OpenAsync(Uri container, string blob, CancellationToken cancel)
    {
        var (content, bytes) = await _containers.OpenAsync(container, blob, cancel).ConfigureAwait(false);
        return new BlobReading(content, bytes);
    }

    public IBlobWriting Create(Uri container, string blob) => new Writing(_containers.Create(container, blob));

    public void Dispose() => _containers.Dispose();

    private sealed class Writing(SignedBlob blob) : IBlobWriting
    {
        public Task AddAsync(ReadOnlyMemory<byte> block, CancellationToken cancel) => blob.AddAsync(block, cancel);

        public Task CommitAsync(CancellationToken cancel) => blob.CommitAsync(cancel);
    }
}
