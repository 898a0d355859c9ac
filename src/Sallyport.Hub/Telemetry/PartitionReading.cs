using Sallyport.Hub.Access;
using Sallyport.Protocol.Amqp;
using Sallyport.Storage.EventLog;

namespace Sallyport.Hub.Telemetry;

/// <summary>
/// One partition being read for a reader that takes stored bytes as they are, event by event and when it has room: a page ahead at most.
/// One user at a time, but for <see cref="MoreAsync"/>, which may be under way while it is disposed.
/// </summary>
public sealed class PartitionReading : IDisposable
{
    private const int PageBytes = 64 * 1024;

    private readonly ILogCursor _cursor;
    private readonly LogPage _page = new(PageBytes);
    private readonly Scope _scope;
    private int _at;

    /// <param name="scope">Events of other devices are passed over.</param>
    public PartitionReading(IEventLog log, int partition, LogStart start, Scope scope)
    {
        _cursor = log.OpenCursor(StreamId.Events, partition, start);
        _scope = scope;
    }

    /// <summary>Whether <see cref="Current"/> is an event; else <see cref="FillAsync"/> looks for more.</summary>
    public bool HasCurrent => _at < _page.Records.Count;

    /// <summary>The event to send. Its bytes live until the page is filled again.</summary>
    public LogRecord Current => _page.Records[_at];

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
            var count = await _cursor.ReadAsync(_page, cancel).ConfigureAwait(false);
            _at = 0;
            if (count == 0)
                return false;

            TelemetryMeter.Read(count);
            PassOthers();
        }

        return true;
    }

    /// <summary>Completes when there may be more to read.</summary>
    public ValueTask MoreAsync(CancellationToken cancel) => _cursor.WaitAsync(cancel);

    public void Dispose() => _cursor.Dispose();

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
