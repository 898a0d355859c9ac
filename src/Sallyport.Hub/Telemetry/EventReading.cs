using System.Runtime.CompilerServices;
using Sallyport.Protocol.Amqp;
using Sallyport.Storage.EventLog;

namespace Sallyport.Hub.Telemetry;

/// <summary>
/// One reading of a stream: several partitions as one, a page of each in turn so that a busy one does not starve
/// the others, and on at the end without polling. One reader at a time.
/// </summary>
public sealed class EventReading : IDisposable
{
    // A turn of four partitions then fits into what a socket takes at once.
    private const int PageBytes = 64 * 1024;

    private readonly TimeProvider _time;
    private readonly EventQuery _query;
    private readonly Tail[] _tails;

    internal EventReading(IEventLog log, TimeProvider time, EventQuery query)
    {
        _time = time;
        _query = query;
        _tails = [.. query.Starts.Select(start => new Tail(log, query.Stream, start.Key, start.Value, query.Follow))];
    }

    /// <summary>Per partition, the sequence number that comes next: at first where the reading begins. To be read between pages.</summary>
    public IReadOnlyDictionary<int, long> Positions => _tails.ToDictionary(tail => tail.Partition, tail => tail.Next);

    /// <summary>The pages, until the query is answered. To be enumerated once.</summary>
    /// <exception cref="OperationCanceledException">The reading was cancelled while it waited or read.</exception>
    public async IAsyncEnumerable<EventPage> ReadAsync([EnumeratorCancellation] CancellationToken cancel)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        using var heartbeat = new PeriodicTimer(_query.Heartbeat, _time);
        Task tick = heartbeat.WaitForNextTickAsync(stop.Token).AsTask();
        try
        {
            var quiet = false;
            while (true)
            {
                var read = false;
                foreach (var tail in _tails)
                {
                    if (!tail.IsReadable || await tail.ReadAsync(_query, stop.Token).ConfigureAwait(false) is not { } page)
                        continue;

                    read = true;
                    quiet &= page is { Records.Count: 0, Skipped: 0 };
                    yield return page;
                }

                if (_tails.All(tail => tail.IsDone))
                    yield break;
                if (!read)
                    await Task.WhenAny(_tails.Where(tail => !tail.IsDone).Select(tail => tail.MoreAsync(stop.Token)).Append(tick)).ConfigureAwait(false);
                if (!tick.IsCompleted)
                    continue;

                await tick.ConfigureAwait(false);
                tick = heartbeat.WaitForNextTickAsync(stop.Token).AsTask();
                if (quiet)
                    yield return EventPage.Heartbeat;
                quiet = true;
            }
        }
        finally
        {
            // A cursor has one user at a time: nothing may wait on it any more when it is closed.
            await stop.CancelAsync().ConfigureAwait(false);
            await tick.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            foreach (var tail in _tails)
                await tail.StopAsync().ConfigureAwait(false);
        }
    }

    /// <summary>Closes the cursors. The enumeration must have ended.</summary>
    public void Dispose()
    {
        foreach (var tail in _tails)
            tail.Dispose();
    }

    /// <summary>One partition being read. Owned by one reading.</summary>
    private sealed class Tail : IDisposable
    {
        private readonly ILogCursor _cursor;
        private readonly LogPage _page = new(PageBytes);
        private readonly List<LogRecord> _matches = [];
        private readonly long _end;
        private long _missing; // Gone before the cursor was opened: a position before the oldest record starts at the oldest.
        private Task? _more;

        public Tail(IEventLog log, StreamId stream, int partition, LogStart start, bool follow)
        {
            Partition = partition;
            _end = follow ? long.MaxValue : log.Describe(stream, partition).NextSequence;
            _cursor = log.OpenCursor(stream, partition, start);
            _missing = start.Kind == LogStartKind.Sequence ? Math.Max(0, _cursor.NextSequence - start.Sequence) : 0;
        }

        public int Partition { get; }

        public long Next => _cursor.NextSequence;

        public bool IsDone => _cursor.NextSequence >= _end;

        public bool IsReadable => !IsDone && _more is null or { IsCompleted: true };

        /// <summary>The next page; null when there is nothing now.</summary>
        public async ValueTask<EventPage?> ReadAsync(EventQuery query, CancellationToken cancel)
        {
            if (_more is not null)
            {
                await _more.ConfigureAwait(false);
                _more = null;
            }

            var count = await _cursor.ReadAsync(_page, cancel).ConfigureAwait(false);
            var skipped = _cursor.Skipped + _missing;
            if (count == 0 && skipped == 0)
                return null;

            _missing = 0;
            TelemetryMeter.Read(count);
            return new EventPage(Partition, query.Devices is null && !query.Scope.LimitsDevices ? _page.Records : Matching(query), skipped, _cursor.NextSequence);
        }

        /// <summary>Completes when there may be more to read.</summary>
        public Task MoreAsync(CancellationToken cancel) => _more ??= _cursor.WaitAsync(cancel).AsTask();

        /// <summary>Completes when nothing waits any more, after what it waited with was cancelled.</summary>
        public async ValueTask StopAsync()
        {
            if (_more is not null)
                await _more.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        public void Dispose() => _cursor.Dispose();

        private List<LogRecord> Matching(EventQuery query)
        {
            _matches.Clear();
            foreach (var record in _page.Records)
            {
                if (StoredMessage.TryRead(record.Message.Span, out var message)
                    && message.Annotations.TryFind("iothub-connection-device-id"u8, out var id)
                    && query.Devices?.Matches(id.Content) is not false && query.Scope.CoversDevice(id.Content))
                {
                    _matches.Add(record);
                }
            }

            return _matches;
        }
    }
}
