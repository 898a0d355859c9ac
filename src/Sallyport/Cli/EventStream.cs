using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text.Json.Nodes;
using Sallyport.Client.Service;

namespace Sallyport.Cli;

/// <summary>
/// Reads the hub's events on and on, each once, also across restarts of the hub: it knows for each partition which sequence number comes
/// next, and asks for it again when the hub is back (<c>docs/protocols/events.md</c>). One reader at a time.
/// </summary>
/// <param name="connect">Looks anew where the hub is; throws <see cref="FailedException"/> when it does not run.</param>
/// <param name="say">Told what the reader of the events should know, one sentence each.</param>
internal sealed class EventStream(EventSelection selection, Func<CancellationToken, Task<ServiceClient>> connect, TimeProvider time, Action<string> say) : IAsyncDisposable
{
    /// <summary>While events come, a checkpoint is saved no more often than this.</summary>
    public static readonly TimeSpan SaveInterval = TimeSpan.FromSeconds(1);

    private static readonly TimeSpan ShortestWait = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan LongestWait = TimeSpan.FromSeconds(10);

    private readonly SortedDictionary<int, long> _positions = [];
    private EventConnection? _connection;
    private TimeSpan _wait;
    private bool _wasOpen;
    private bool _isAway;
    private bool _isUnsaved;
    private long _saved = time.GetTimestamp();

    /// <summary>The events as the hub says them, until cancelled. An event counts as taken once it was given.</summary>
    /// <exception cref="ServiceException">The hub refuses the reader.</exception>
    /// <exception cref="HttpRequestException">The hub was not reached to begin with; once it was, a hub that is away is waited for.</exception>
    public async IAsyncEnumerable<JsonObject> ReadAsync([EnumeratorCancellation] CancellationToken cancel)
    {
        while (true)
        {
            // Lines that are here already come also when it is cancelled.
            cancel.ThrowIfCancellationRequested();
            var line = await NextAsync(cancel).ConfigureAwait(false);
            var isEvent = line["control"] is null;
            if (isEvent)
                MoveBehind(line);
            else
                Hear(line);
            if (isEvent && (selection.ModuleId is null || line["moduleId"]?.GetValue<string>() == selection.ModuleId))
                yield return line;
            if (!isEvent || time.GetElapsedTime(_saved) >= SaveInterval)
                await SaveUnlessAwayAsync(cancel).ConfigureAwait(false);
        }
    }

    /// <summary>Saves the position behind the last event taken; does nothing when no checkpoint was asked for, or nothing came.</summary>
    /// <exception cref="ServiceException">The hub refuses.</exception>
    /// <exception cref="FailedException">The hub does not run.</exception>
    public async Task SaveAsync(CancellationToken cancel)
    {
        if (selection.Checkpoint is null || !_isUnsaved)
            return;

        var positions = new JsonObject(_positions.Select(position =>
            KeyValuePair.Create<string, JsonNode?>(position.Key.ToString(CultureInfo.InvariantCulture), position.Value)));
        var client = _connection?.Client ?? await connect(cancel).ConfigureAwait(false);
        await client.SendAsync(HttpMethod.Put, selection.CheckpointPath, new JsonObject { ["positions"] = positions }, cancel: cancel).ConfigureAwait(false);
        _isUnsaved = false;
        _saved = time.GetTimestamp();
    }

    public async ValueTask DisposeAsync() => await CloseAsync().ConfigureAwait(false);

    /// <summary>The next line, however often the hub has to be reached for it.</summary>
    private async Task<JsonObject> NextAsync(CancellationToken cancel)
    {
        while (true)
        {
            try
            {
                _connection ??= new EventConnection(await connect(cancel).ConfigureAwait(false), selection.Path(_positions), time, cancel);
                if (await _connection.NextAsync().ConfigureAwait(false) is { } line)
                {
                    Found();
                    return line;
                }
            }
            catch (Exception away) when (_wasOpen && (away is FailedException || HubFailure.IsAway(away)))
            {
                Lose(away.GetBaseException().Message);
            }

            await CloseAsync().ConfigureAwait(false);
            // At once at first; each further time without anything new it waits longer.
            await Task.Delay(_wait, time, cancel).ConfigureAwait(false);
            _wait = _wait == TimeSpan.Zero ? ShortestWait : _wait * 2 < LongestWait ? _wait * 2 : LongestWait;
        }
    }

    private void Found()
    {
        _wasOpen = true;
        if (_isAway)
            say("The hub is back; reading goes on.");
        _isAway = false;
    }

    private void Lose(string reason)
    {
        if (!_isAway)
            say($"The hub is away ({reason.TrimEnd('.')}); waiting for it.");
        _isAway = true;
    }

    private void MoveBehind(JsonObject line)
    {
        _positions[line["partition"]!.GetValue<int>()] = line["sequenceNumber"]!.GetValue<long>() + 1;
        _isUnsaved = true;
        _wait = TimeSpan.Zero;
    }

    private void Hear(JsonObject line)
    {
        switch (line["control"]!.GetValue<string>())
        {
            case "start":
                foreach (var (partition, next) in line["positions"]!.AsObject())
                    _positions[int.Parse(partition, CultureInfo.InvariantCulture)] = next!.GetValue<long>();
                break;
            case "skipped":
                say($"{line["count"]} events of partition {line["partition"]} are gone: the hub keeps events for a limited time.");
                break;
            case "heartbeat":
                _wait = TimeSpan.Zero;
                break;
        }
    }

    private async Task SaveUnlessAwayAsync(CancellationToken cancel)
    {
        try
        {
            await SaveAsync(cancel).ConfigureAwait(false);
        }
        catch (Exception away) when (away is FailedException || HubFailure.IsAway(away))
        {
            // It is saved when the hub is back, or the verb says at its end that it was not.
            Lose(away.GetBaseException().Message);
        }
    }

    private async Task CloseAsync()
    {
        if (_connection is { } connection)
            await connection.DisposeAsync().ConfigureAwait(false);
        _connection = null;
    }
}
