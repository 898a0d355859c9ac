using Azure;
using Azure.Core.Pipeline;
using Azure.Storage.Blobs;
using Azure.Storage.Blobs.Models;
using Azure.Storage.Blobs.Specialized;
using Sallyport.Services.Outgoing;

namespace Sallyport.Services.Blobs;

/// <summary>
/// Blob containers of Azure-compatible accounts, each opened by an address with a signature (SAS). Connects by the rules of outgoing connections.
/// Thread-safe. Nothing it throws holds a signature.
/// </summary>
public sealed class SignedContainers : IDisposable
{
    /// <summary>What is read ahead of a blob.</summary>
    private const int ReadBytes = 1024 * 1024;

    // For one try of one request; there are four.
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(30);

    private readonly OutgoingOptions _outgoing;
    private readonly SocketsHttpHandler _handler;
    private readonly HttpClient _http;
    private readonly BlobClientOptions _options;

    public SignedContainers(OutgoingOptions outgoing)
    {
        _outgoing = outgoing;
        _handler = OutgoingHttps.Handler(outgoing);
        _handler.PooledConnectionLifetime = TimeSpan.FromMinutes(1); // The name is resolved, and checked, again after it.
        _http = new HttpClient(_handler) { Timeout = System.Threading.Timeout.InfiniteTimeSpan };
        _options = new BlobClientOptions(BlobClientOptions.ServiceVersion.V2021_12_02) { Transport = new HttpClientTransport(_http) };
        _options.Retry.NetworkTimeout = Timeout;
        _options.Diagnostics.IsLoggingEnabled = false; // Addresses with signatures are in it.
        _options.Diagnostics.IsDistributedTracingEnabled = false;
    }

    /// <summary>What is wrong with the address of a container, before anything is connected to; null when nothing is.</summary>
    public string? ProblemOf(Uri container)
    {
        if (container.Scheme != Uri.UriSchemeHttps && container.Scheme != Uri.UriSchemeHttp)
            return "the https address of a container";
        if (container.UserInfo.Length > 0 || container.Fragment.Length > 0)
            return "an address has neither a user nor a fragment";
        if (OutgoingAddresses.IsLoopbackName(container.Host) && !_outgoing.AllowLoopback)
            return $"{container.Host} is this machine, which the process configuration does not allow (Outgoing:AllowLoopback)";
        if (container.Scheme == Uri.UriSchemeHttp && !OutgoingAddresses.IsLoopbackName(container.Host))
            return "http would show the signature and the keys to everybody on the way: give the https address";
        if (!container.Query.Contains("sig=", StringComparison.Ordinal))
            return "the address holds no signature (SAS): one of the container that may read, write and delete";
        return container.AbsolutePath.Trim('/').Length == 0 ? "the address names no container" : null;
    }

    /// <summary>Opens a blob for reading.</summary>
    /// <exception cref="IOException">It is not there, the account refuses, or it cannot be reached or may not be; says which.</exception>
    public async Task<(Stream Content, long Bytes)> OpenAsync(Uri container, string blob, CancellationToken cancel)
    {
        var client = Container(container).GetBlobClient(blob);
        return await AskAsync(
            container, blob,
            async () =>
            {
                var properties = await client.GetPropertiesAsync(cancellationToken: cancel).ConfigureAwait(false);
                var content = await client.OpenReadAsync(new BlobOpenReadOptions(allowModifications: false) { BufferSize = ReadBytes }, cancel).ConfigureAwait(false);
                return ((Stream)new PlainErrorsStream(content, this, container, blob), properties.Value.ContentLength);
            }).ConfigureAwait(false);
    }

    /// <summary>Begins a blob, which is there once it is committed.</summary>
    public SignedBlob Create(Uri container, string blob) => new(this, container, blob, Container(container).GetBlockBlobClient(blob));

    public void Dispose()
    {
        _http.Dispose();
        _handler.Dispose();
    }

    internal async Task<T> AskAsync<T>(Uri container, string blob, Func<Task<T>> ask)
    {
        try
        {
            return await ask().ConfigureAwait(false);
        }
        catch (Exception failed) when (WordsFor(failed, container, blob) is { } words)
        {
            // Not the inner exception: it names the address with its signature.
            throw new IOException(words);
        }
    }

    internal string? WordsFor(Exception failed, Uri container, string blob)
    {
        var place = $"{blob} in {container.GetLeftPart(UriPartial.Path)}";
        if (failed is AggregateException { InnerExceptions: [.., var last] })
            failed = last;
        for (var inner = failed; inner is not null; inner = inner.InnerException)
        {
            if (inner is TargetException target)
                return $"{place} is not connected to: {target.Message}{(_outgoing.AllowLoopback || !target.Message.Contains("loopback", StringComparison.Ordinal) ? "" : " (Outgoing:AllowLoopback)")}";
        }

        return failed switch
        {
            RequestFailedException { Status: 404 } => $"{place} is not there",
            RequestFailedException { Status: 401 or 403 } refused => $"{place}: the account refuses the signature ({refused.ErrorCode ?? "403"}): it must allow reading, writing and deleting, and be in force",
            RequestFailedException { Status: 412 } => $"{place} was changed while it was read",
            RequestFailedException { Status: > 0 } refused => $"{place}: the account answered {refused.Status} {refused.ErrorCode}".TrimEnd(),
            RequestFailedException or HttpRequestException or System.Net.Sockets.SocketException => $"{place}: {container.Host} cannot be reached",
            TaskCanceledException { InnerException: TimeoutException } or TimeoutException => $"{place}: {container.Host} does not answer",
            OperationCanceledException => null,
            _ => $"{place}: it failed ({failed.GetType().Name})", // Its own words may hold the address.
        };
    }

    private BlobContainerClient Container(Uri container)
    {
        try
        {
            return new BlobContainerClient(container, _options);
        }
        catch (Exception wrong) when (wrong is ArgumentException or FormatException)
        {
            throw new IOException($"{container.GetLeftPart(UriPartial.Path)} is no address of a container with a signature");
        }
    }

    // What reading throws says the same in plain words.
    private sealed class PlainErrorsStream(Stream inner, SignedContainers owner, Uri container, string blob) : Stream
    {
        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => false;

        public override long Length => inner.Length;

        public override long Position { get => inner.Position; set => throw new NotSupportedException(); }

        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) =>
            new(owner.AskAsync(container, blob, () => inner.ReadAsync(buffer, cancellationToken).AsTask()));

        public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) => ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override void Flush()
        {
        }

        public override async ValueTask DisposeAsync()
        {
            await inner.DisposeAsync().ConfigureAwait(false);
            await base.DisposeAsync().ConfigureAwait(false);
        }

        protected override void Dispose(bool disposing)
        {
            if (disposing)
                inner.Dispose();
            base.Dispose(disposing);
        }
    }
}

/// <summary>A blob that is being written in blocks. Not thread-safe.</summary>
public sealed class SignedBlob
{
    private readonly SignedContainers _owner;
    private readonly Uri _container;
    private readonly string _name;
    private readonly BlockBlobClient _client;
    private readonly List<string> _blocks = [];

    internal SignedBlob(SignedContainers owner, Uri container, string name, BlockBlobClient client)
    {
        (_owner, _container, _name, _client) = (owner, container, name, client);
    }

    /// <exception cref="IOException">The account does not take it; says why.</exception>
    public async Task AddAsync(ReadOnlyMemory<byte> block, CancellationToken cancel)
    {
        var id = Convert.ToBase64String(BitConverter.GetBytes(_blocks.Count));
        await _owner.AskAsync(
            _container, _name,
            async () =>
            {
                using var content = new MemoryStream(block.ToArray(), writable: false);
                return await _client.StageBlockAsync(id, content, cancellationToken: cancel).ConfigureAwait(false);
            }).ConfigureAwait(false);
        _blocks.Add(id);
    }

    /// <summary>Makes the blob of the blocks, in place of one of this name.</summary>
    /// <inheritdoc cref="AddAsync" path="/exception"/>
    public Task CommitAsync(CancellationToken cancel) =>
        _owner.AskAsync(_container, _name, () => _client.CommitBlockListAsync(_blocks, new CommitBlockListOptions { HttpHeaders = new BlobHttpHeaders { ContentType = "text/plain; charset=utf-8" } }, cancel));
}
