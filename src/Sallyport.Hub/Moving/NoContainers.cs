namespace Sallyport.Hub.Moving;

/// <summary>A hub that reaches no blob containers.</summary>
public sealed class NoContainers : IJobContainers
{
    public string? ProblemOf(Uri container) => "this hub reaches no blob containers";

    public Task<BlobReading> OpenAsync(Uri container, string blob, CancellationToken cancel) => Task.FromException<BlobReading>(new IOException(ProblemOf(container)));

    public IBlobWriting Create(Uri container, string blob) => throw new IOException(ProblemOf(container));
}
