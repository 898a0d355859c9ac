using System.CommandLine;
using System.Text.Json.Nodes;

namespace Sallyport.Cli;

/// <summary><c>device upload-file</c> as <c>az iot device</c> has it, <c>device file</c>, and <c>monitor-file-notifications</c>: files of devices.</summary>
internal static class FileCommand
{
    private static readonly TimeSpan PollInterval = TimeSpan.FromSeconds(1);

    private static readonly Printing Uploaded = Printing.Table(new("DeviceId", "deviceId"), new("BlobName", "blobName"), new("Bytes", "sizeBytes"));

    private static readonly Printing Files = Printing.Table(
        new("BlobName", "blobName"), new("Bytes", "sizeBytes"), new("ContentType", "contentType"), new("LastModified", "lastModifiedTime"));

    private static readonly Printing Uploads = Printing.Table(
        new("CorrelationId", "correlationId"), new("BlobName", "blobName"), new("Created", "createdTime"), new("Expires", "expiryTime"));

    public static Command Create(HubVerbs verbs) => new("file", "Files that devices uploaded: list, download, delete")
    {
        ListVerb(verbs),
        DownloadVerb(verbs),
        DeleteVerb(verbs),
        ListUploadsVerb(verbs),
    };

    public static Verb UploadVerb(HubVerbs verbs)
    {
        var device = Device();
        var path = Flags.Required("--file-path", "FILE", "What is uploaded", "--fp");
        var name = Flags.Text("--blob-name", "NAME", "What it is called. Default: the name of the file", "-n");
        var type = Flags.Text("--content-type", "TYPE", "Default: application/octet-stream", "--ct");
        return verbs.Create(
            "upload-file", "Upload a file in the place of a device, as its SDK would: ask for a URL, write, report", "device upload-file -d d1 --file-path boot.log --content-type text/plain",
            [device, path, name, type], Uploaded, async call =>
            {
                var file = call.Parsed.GetValue(path)!;
                var content = Open(file, reading: true);
                await using var _ = content.ConfigureAwait(false);
                return await call.Client.UploadFileAsync(
                    call.Parsed.GetValue(device)!, call.Parsed.GetValue(name) ?? Path.GetFileName(file), content, call.Parsed.GetValue(type) ?? "application/octet-stream",
                    Progress(call, content.Length), call.Cancel).ConfigureAwait(false);
            });
    }

    public static Verb MonitorVerb(HubVerbs verbs)
    {
        var count = Flags.Number("--message-count", "N", "Stop after so many", 1, long.MaxValue, null, "--mc");
        var timeout = Flags.Number("--timeout", "SECONDS", "Stop after so long without one; 0 never stops", 0, int.MaxValue / 1000, 300, "--to");
        return verbs.Create(
            "monitor-file-notifications", "Show what services are told of file uploads, as it comes; what is shown here no other receiver gets. Ctrl-C ends it",
            "monitor-file-notifications --timeout 0", [count, timeout], Printing.Streamed, async call =>
            {
                await MonitorAsync(call, call.Parsed.GetValue(count) ?? long.MaxValue, TimeSpan.FromSeconds((long)call.Parsed.GetValue(timeout)!)).ConfigureAwait(false);
                return null;
            });
    }

    private static Verb ListVerb(HubVerbs verbs)
    {
        var device = Device();
        var top = Flags.Number("--top", "N", "At most so many, 1 to 1000", 1, 1000, 1000);
        var after = Flags.Text("--after", "NAME", "Only those behind this name");
        return verbs.Create("list", "List the files of a device", "device file list -d d1 -o table", [device, top, after], Files, call =>
        {
            var query = $"top={call.Parsed.GetValue(top)}" + (call.Parsed.GetValue(after) is { } name ? $"&after={Uri.EscapeDataString(name)}" : "");
            return call.Client.SendAsync(HttpMethod.Get, $"{Root(call, device)}/files?{query}", cancel: call.Cancel);
        });
    }

    private static Verb DownloadVerb(HubVerbs verbs)
    {
        var (device, name) = (Device(), Name());
        var path = Flags.Text("--file-path", "FILE", "Where to; it must not be there yet. Default: the last part of the name, here", "--fp");
        return verbs.Create("download", "Download a file of a device", "device file download -d d1 -n boot.log --file-path boot.log", [device, name, path], Uploaded, async call =>
        {
            var (id, blob) = (call.Parsed.GetValue(device)!, call.Parsed.GetValue(name)!);
            // What a device called its file decides nothing but a plain name here.
            var file = call.Parsed.GetValue(path) ?? blob.Split('/', '\\')[^1];
            if (file.Length == 0 || file is "." or "..")
                throw new WrongUsageException("The name ends in no name of a file: say --file-path.");

            var target = Open(file, reading: false);
            await using var _ = target.ConfigureAwait(false);
            try
            {
                var bytes = await call.Client.DownloadFileAsync(id, blob, target, call.Cancel).ConfigureAwait(false);
                return new JsonObject { ["deviceId"] = id, ["blobName"] = blob, ["sizeBytes"] = bytes };
            }
            catch
            {
                File.Delete(file); // Half of it is no use to anybody.
                throw;
            }
        });
    }

    private static Verb DeleteVerb(HubVerbs verbs)
    {
        var (device, name, yes) = (Device(), Name(), Confirmation.Yes());
        return verbs.Create("delete", "Delete a file of a device", "device file delete -d d1 -n boot.log --yes", [device, name, yes], Printing.Nothing, async call =>
        {
            var blob = call.Parsed.GetValue(name)!;
            await Confirmation.RequireAsync(call.Terminal, call.Parsed.GetValue(yes), $"Delete {blob} of {call.Parsed.GetValue(device)}?", call.Cancel).ConfigureAwait(false);
            await call.Client.SendAsync(HttpMethod.Delete, $"{Root(call, device)}/files?name={Uri.EscapeDataString(blob)}", cancel: call.Cancel).ConfigureAwait(false);
            return null;
        });
    }

    private static Verb ListUploadsVerb(HubVerbs verbs)
    {
        var device = Device();
        return verbs.Create("list-uploads", "List the uploads of a device that are under way; each holds one of its ten slots", "device file list-uploads -d d1 -o table", [device], Uploads,
            call => call.Client.SendAsync(HttpMethod.Get, $"{Root(call, device)}/uploads", cancel: call.Cancel));
    }

    private static async Task MonitorAsync(HubCall call, long count, TimeSpan quiet)
    {
        if (call.Output == "table")
            await call.Terminal.Out.WriteLineAsync("Enqueued  Bytes  BlobName").ConfigureAwait(false);

        var last = call.Time.GetTimestamp();
        try
        {
            while (count > 0 && (quiet == TimeSpan.Zero || call.Time.GetElapsedTime(last) < quiet))
            {
                if (await call.Client.ReceiveFileNotificationAsync(call.Cancel).ConfigureAwait(false) is not { } notification)
                {
                    // Over REST nothing comes by itself: asked again.
                    await Task.Delay(PollInterval, call.Time, call.Cancel).ConfigureAwait(false);
                    continue;
                }

                await call.Terminal.Out.WriteLineAsync(call.Output == "table" ? Row(notification.Notification) : notification.Notification.ToJsonString(Printing.Json)).ConfigureAwait(false);
                await call.Client.CompleteFileNotificationAsync(notification, call.Cancel).ConfigureAwait(false);
                last = call.Time.GetTimestamp();
                count--;
            }
        }
        catch (OperationCanceledException) when (call.Cancel.IsCancellationRequested)
        {
            return; // Ctrl-C.
        }
    }

    private static string Row(JsonObject notification) => Printing.Printable(
        $"{Column.Text(notification["enqueuedTimeUtc"])}  {Column.Text(notification["blobSizeInBytes"])}  {Column.Text(notification["blobName"])}");

    private static Action<long>? Progress(HubCall call, long all) => all < 64 << 20 ? null : bytes => call.Terminal.Error.WriteLine($"{bytes >> 20} of {all >> 20} MB");

    private static FileStream Open(string path, bool reading)
    {
        try
        {
            return new FileStream(path, reading ? FileMode.Open : FileMode.CreateNew, reading ? FileAccess.Read : FileAccess.Write, FileShare.Read);
        }
        catch (Exception failed) when (failed is IOException or UnauthorizedAccessException or ArgumentException)
        {
            throw new FailedException($"--file-path: {path} cannot be {(reading ? "read" : "written")} ({failed.Message.TrimEnd('.')}).", failed);
        }
    }

    private static string Root(HubCall call, Option<string> device) => $"manage/v1/devices/{Uri.EscapeDataString(call.Parsed.GetValue(device)!)}";

    private static Option<string> Device() => Flags.Required("--device-id", "ID", "The device", "-d");

    private static Option<string> Name() => Flags.Required("--blob-name", "NAME", "The name of the file, with or without the device's id in front", "-n");
}
