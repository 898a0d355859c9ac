namespace Sallyport.Cli;

/// <summary><c>monitor-events</c>: shows events as they come, with the flags of <c>az iot hub monitor-events</c>.</summary>
internal static class MonitorEventsCommand
{
    private const long MaxUnixMs = 253_402_300_799_999;

    public static Verb Create(HubVerbs verbs)
    {
        var device = Flags.Text("--device-id", "ID", "Only this device and its modules; * stands for any characters", "-d");
        var module = Flags.Text("--module-id", "ID", "Only modules of this id", "-m");
        var partition = Flags.Number("--partition", "N", "Only this partition", 0, int.MaxValue, null);
        var group = Flags.Text("--consumer-group", "NAME", "The consumer group; default: $Default", "--cg");
        var from = Flags.Number("--enqueued-time", "MS", "From this moment on, in ms since 1970 UTC; 0 is from the oldest event; default: from now", 0, MaxUnixMs, null, "--et");
        var checkpoint = Flags.Text("--checkpoint", "NAME", "Go on where a reader of this name was, and save how far this one comes");
        var quarantine = Flags.Switch("--quarantine", "Show what devices in quarantine report, instead of telemetry");
        var timeout = Flags.Number("--timeout", "SECONDS", "Stop after so long without an event; 0 never stops", 0, int.MaxValue / 1000, 300, "--to");
        var count = Flags.Number("--message-count", "N", "Stop after so many events", 1, long.MaxValue, null, "--mc");
        var show = Flags.Several(
            "--properties", "sys|app|anno|all", "Which properties to show besides the payload",
            groups => groups.All(name => Group(name) is not EventProperties.None) ? null : "one or more of sys, app, anno, all", "--props", "-p");
        return verbs.Create(
            "monitor-events", "Show events as they come; Ctrl-C ends it", "monitor-events -d d1 --properties sys app --checkpoint me",
            [device, module, partition, group, from, checkpoint, quarantine, timeout, count, show], Printing.Streamed, async call =>
            {
                if (call.Parsed.GetValue(quarantine) && (call.Parsed.GetValue(group) ?? call.Parsed.GetValue(checkpoint)) is not null)
                    throw new WrongUsageException("--quarantine has no consumer groups and no checkpoints: leave --consumer-group and --checkpoint out.");

                var selection = new EventSelection
                {
                    Quarantine = call.Parsed.GetValue(quarantine),
                    ConsumerGroup = call.Parsed.GetValue(group),
                    DeviceId = call.Parsed.GetValue(device),
                    ModuleId = call.Parsed.GetValue(module),
                    Partition = call.Parsed.GetValue(partition),
                    From = call.Parsed.GetValue(from) is { } ms ? DateTimeOffset.FromUnixTimeMilliseconds(ms) : null,
                    Checkpoint = call.Parsed.GetValue(checkpoint),
                };
                var quiet = TimeSpan.FromSeconds((long)call.Parsed.GetValue(timeout)!);
                await ShowAsync(call, selection, quiet, call.Parsed.GetValue(count) ?? long.MaxValue, Shown(call.Parsed.GetValue(show))).ConfigureAwait(false);
                return null;
            });
    }

    /// <param name="quiet">Ends after so long without an event; zero never.</param>
    private static async Task ShowAsync(HubCall call, EventSelection selection, TimeSpan quiet, long count, EventProperties show)
    {
        using var end = CancellationTokenSource.CreateLinkedTokenSource(call.Cancel);
        var patience = quiet == TimeSpan.Zero ? Timeout.InfiniteTimeSpan : quiet;
        var timer = call.Time.CreateTimer(_ => end.Cancel(), null, patience, Timeout.InfiniteTimeSpan);
        await using var _ = timer.ConfigureAwait(false);
        var stream = new EventStream(selection, call.ConnectAsync, call.Time, call.Terminal.Error.WriteLine);
        await using var __ = stream.ConfigureAwait(false);
        var isTable = call.Output == "table";
        if (isTable)
            await call.Terminal.Out.WriteLineAsync(MonitoredEvent.Header).ConfigureAwait(false);

        try
        {
            await foreach (var line in stream.ReadAsync(end.Token).ConfigureAwait(false))
            {
                timer.Change(patience, Timeout.InfiniteTimeSpan);
                await call.Terminal.Out.WriteLineAsync(isTable ? MonitoredEvent.ToRow(line) : MonitoredEvent.ToJson(line, show)).ConfigureAwait(false);
                if (--count == 0)
                    break;
            }
        }
        catch (OperationCanceledException) when (end.IsCancellationRequested)
        {
            // Quiet for long enough, or Ctrl-C.
        }

        await stream.SaveAsync(CancellationToken.None).ConfigureAwait(false);
    }

    private static EventProperties Shown(string[]? groups) => (groups ?? []).Aggregate(EventProperties.None, (shown, group) => shown | Group(group));

    private static EventProperties Group(string name) => name switch
    {
        "sys" => EventProperties.System,
        "app" => EventProperties.Application,
        "anno" => EventProperties.Annotations,
        "all" => EventProperties.All,
        _ => EventProperties.None,
    };
}
