using System.Buffers;
using System.Globalization;
using System.IO.Pipelines;
using System.Text.Json;
using Sallyport.Hub.Telemetry;

namespace Sallyport.Heads.Http;

/// <summary>Writes events and control lines as newline-delimited JSON. One per response; not thread-safe.</summary>
internal sealed class EventLines(PipeWriter output) : IAsyncDisposable
{
    private readonly Utf8JsonWriter _json = new(output, EventJson.WriterOptions);

    /// <summary>How many events were written.</summary>
    public long Events { get; private set; }

    /// <summary>Writes the page, but no more events than <paramref name="atMost"/>.</summary>
    public void Write(in EventPage page, long atMost)
    {
        if (page.IsHeartbeat)
            WriteControl("heartbeat"u8);
        if (page.Skipped > 0)
            WriteSkipped(page);

        foreach (var record in page.Records)
        {
            if (atMost-- == 0)
                return;

            EventJson.Write(_json, record);
            EndLine();
            Events++;
        }
    }

    public void WriteStart(IReadOnlyDictionary<int, long> positions)
    {
        _json.WriteStartObject();
        _json.WriteString("control"u8, "start"u8);
        _json.WriteStartObject("positions"u8);
        foreach (var (partition, next) in positions)
            _json.WriteNumber(partition.ToString(CultureInfo.InvariantCulture), next);
        _json.WriteEndObject();
        _json.WriteEndObject();
        EndLine();
    }

    public void WriteEnd(string reason)
    {
        _json.WriteStartObject();
        _json.WriteString("control"u8, "end"u8);
        _json.WriteString("reason"u8, reason);
        _json.WriteEndObject();
        EndLine();
    }

    /// <summary>Sends what was written; waits while the client does not take it.</summary>
    public async ValueTask FlushAsync(CancellationToken cancel) => await output.FlushAsync(cancel);

    public ValueTask DisposeAsync() => _json.DisposeAsync();

    private void WriteControl(ReadOnlySpan<byte> kind)
    {
        _json.WriteStartObject();
        _json.WriteString("control"u8, kind);
        _json.WriteEndObject();
        EndLine();
    }

    private void WriteSkipped(in EventPage page)
    {
        _json.WriteStartObject();
        _json.WriteString("control"u8, "skipped"u8);
        _json.WriteNumber("partition"u8, page.Partition);
        _json.WriteNumber("count"u8, page.Skipped);
        _json.WriteEndObject();
        EndLine();
    }

    private void EndLine()
    {
        _json.Flush();
        _json.Reset();
        output.Write("\n"u8);
    }
}
