using System.Text.Json.Nodes;
using Sallyport.Client.Service;

namespace Sallyport.Cli;

/// <summary>One request for events, until it ends or breaks. Owns the client. One reader.</summary>
internal sealed class EventConnection : IAsyncDisposable
{
    /// <summary>The hub says something at least every 30 s; one that is silent for longer than this is gone.</summary>
    public static readonly TimeSpan Silence = TimeSpan.FromSeconds(90);

    private readonly CancellationToken _cancel;
    private readonly CancellationTokenSource _cut;
    private readonly ITimer _silence;
    private readonly IAsyncEnumerator<JsonObject> _lines;

    public EventConnection(ServiceClient client, string path, TimeProvider time, CancellationToken cancel)
    {
        Client = client;
        _cancel = cancel;
        _cut = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        _silence = time.CreateTimer(_ => _cut.Cancel(), null, Silence, Timeout.InfiniteTimeSpan);
        _lines = client.StreamAsync(path, _cut.Token).GetAsyncEnumerator(_cut.Token);
    }

    public ServiceClient Client { get; }

    /// <returns>The next line; null at the end of the answer.</returns>
    /// <exception cref="TimeoutException">The hub fell silent.</exception>
    public async Task<JsonObject?> NextAsync()
    {
        _silence.Change(Silence, Timeout.InfiniteTimeSpan);
        try
        {
            return await _lines.MoveNextAsync().ConfigureAwait(false) ? _lines.Current : null;
        }
        catch (OperationCanceledException) when (!_cancel.IsCancellationRequested)
        {
            throw new TimeoutException($"nothing came for {Silence.TotalSeconds:0} s");
        }
    }

    public async ValueTask DisposeAsync()
    {
        // The timer first: it must not find the token's source gone.
        await _silence.DisposeAsync().ConfigureAwait(false);
        await _lines.DisposeAsync().ConfigureAwait(false);
        _cut.Dispose();
        Client.Dispose();
    }
}
