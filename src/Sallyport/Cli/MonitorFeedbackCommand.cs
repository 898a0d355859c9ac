using System.Text.Json.Nodes;

namespace Sallyport.Cli;

/// <summary><c>monitor-feedback</c>: shows what became of commands as it is told, with the flags of <c>az iot hub monitor-feedback</c>.</summary>
internal static class MonitorFeedbackCommand
{
    // A request that finds nothing is answered at once.
    private static readonly TimeSpan AskAgain = TimeSpan.FromSeconds(1);

    public static Verb Create(HubVerbs verbs)
    {
        var device = Flags.Text("--device-id", "ID", "Show only that of this device; that of others is taken all the same", "-d");
        var message = Flags.Text("--wait-on-msg", "ID", "Stop once that of this message was shown", "-w");
        var timeout = Flags.Number("--timeout", "SECONDS", "Stop after so long without any; 0 never stops", 0, int.MaxValue / 1000, 300, "--to");
        return verbs.Create(
            "monitor-feedback", "Show feedback on commands as it comes, and complete it: no other receiver gets it; Ctrl-C ends it", "monitor-feedback -d d1 --timeout 60",
            [device, message, timeout], Printing.Streamed, async call =>
            {
                var quiet = TimeSpan.FromSeconds((long)call.Parsed.GetValue(timeout)!);
                var last = call.Time.GetTimestamp();
                if (call.Output == "table")
                    await call.Terminal.Out.WriteLineAsync(Row("MessageId", "DeviceId", "Status", "Enqueued")).ConfigureAwait(false);
                try
                {
                    while (quiet == TimeSpan.Zero || call.Time.GetElapsedTime(last) < quiet)
                    {
                        if (await call.Client.ReceiveFeedbackAsync(call.Cancel).ConfigureAwait(false) is not { } batch)
                        {
                            // Over REST nothing comes by itself.
                            await Task.Delay(AskAgain, call.Time, call.Cancel).ConfigureAwait(false);
                            continue;
                        }

                        foreach (var record in batch.Records.Where(record => call.Parsed.GetValue(device) is not { } id || Text(record, "deviceId") == id))
                            await call.Terminal.Out.WriteLineAsync(call.Output == "table" ? Row(record) : record!.ToJsonString()).ConfigureAwait(false);
                        await call.Client.CompleteFeedbackAsync(batch, call.Cancel).ConfigureAwait(false);
                        if (call.Parsed.GetValue(message) is { } awaited && batch.Records.Any(record => Text(record, "originalMessageId") == awaited))
                            return null;
                        last = call.Time.GetTimestamp();
                    }
                }
                catch (OperationCanceledException) when (call.Cancel.IsCancellationRequested)
                {
                    return null; // Ctrl-C: a batch that was not completed comes again.
                }

                return null;
            });
    }

    private static string? Text(JsonNode? record, string name) => record?[name]?.GetValue<string>();

    private static string Row(JsonNode? record) =>
        Row(Text(record, "originalMessageId"), Text(record, "deviceId"), Text(record, "statusCode"), Text(record, "enqueuedTimeUtc"));

    private static string Row(string? message, string? device, string? status, string? time) =>
        Printing.Printable($"{message,-38} {device,-30} {status,-20} {time}");
}
