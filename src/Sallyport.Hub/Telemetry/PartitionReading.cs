using System.Collections.Concurrent;
using Sallyport.Hub.Access;
using Sallyport.Protocol.Amqp;
using Sallyport.Storage.EventLog;

namespace Sallyport.Hub.Telemetry;

/// <summary>
/// One partition being read for a reader that takes stored bytes as they are, event by event and when it has room: a page ahead at most,
/// and none while there is nothing to read. One user at a time.
/// </summary>
public sealed class PartitionReading : IDisposable
{
    private const int PageBytes = 64 * 1024;

    // A page is most of what a reader costs, and most readers wait at the end: there it goes to whoever reads next. 4 MiB at most.
    private const int SparePages = 64;
    private static readonly ConcurrentQueue<LogPage> Spare = new();

    private readonly ILogCursor _cursor;
    private readonly Scope _scope;
    private LogPage? _page;
    private int _at;

    /// <param name="scope">Events of other devices are passed over.</param>
    public PartitionReading(IEventLog log, int partition, LogStart start, Scope scope)
    {
        _cursor = log.OpenCursor(StreamId.Events, partition, start);
        _scope = scope;
    }

    /// <summary>Whether <see cref="Current"/> is an event; else <see cref="FillAsync"/> looks for more.</summary>
    public bool HasCurrent => Left > 0;

    /// <summary>Events of the page that were not taken yet.</summary>
    public int Left => _page is null ? 0 : _page.Span.Length - _at;

    /// <summary>The event to send. Its bytes live until the page is filled again.</summary>
    public ref readonly LogRecord Current => ref _page!.Span[_at];

    /// <summary>The event was taken: goes to the next one of the page.</summary>
    public void Advance()
    {
        _at++;
        PassOthers();
    }

    /// <summary>Reads the next page; false at the end of what there is.</summary>
    public async ValueTask<bool> FillAsync(CancellationToken cancel)
    {
        while (!HasCurrent)
        {
            _page ??= Spare.TryDequeue(out var spare) ? spare : new LogPage(PageBytes);
            var count = await _cursor.ReadAsync(_page, cancel).ConfigureAwait(false);
            _at = 0;
            if (count == 0)
            {
                GiveBackPage();
                return false;
            }

            TelemetryMeter.Read(count);
            PassOthers();
        }

        return true;
    }

    /// <inheritdoc cref="ILogCursor.TellWhenMore"/>
    public bool TellWhenMore(ICommitListener listener) => _cursor.TellWhenMore(listener);

    public void Dispose()
    {
        _cursor.Dispose();
        GiveBackPage();
    }

    private void GiveBackPage()
    {
        if (_page is not { } page)
            return;

        (_page, _at) = (null, 0);
        page.Clear();
        if (Spare.Count < SparePages && !page.HasGrown)
            Spare.Enqueue(page);
    }

    private void PassOthers()
    {
        if (!_scope.LimitsDevices)
            return;

        while (HasCurrent && !Covers(Current.Message.Span))
            _at++;
    }

    private bool Covers(ReadOnlySpan<byte> stored) =>
        StoredMessage.TryRead(stored, out var message)
        && message.Annotations.TryFind("iothub-connection-device-id"u8, out var id)
        && _scope.CoversDevice(id.Content);
}
