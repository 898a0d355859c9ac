namespace Sallyport.Tests.Executable.Cli;

public sealed class FileCommandTests(CliHub hub) : IClassFixture<CliHub>, IDisposable
{
    private readonly TemporaryDirectory _files = new();

    public void Dispose() => _files.Dispose();

    [Fact]
    public async Task File_UploadedListedDownloadedAndDeleted_IsTheSame_AndTold()
    {
        const string Id = "up-%41?#+";
        await hub.JsonAsync("device-identity", "create", "-d", Id);
        var content = new byte[9 * 1024 * 1024];
        new Random(1).NextBytes(content);
        await File.WriteAllBytesAsync(Path.Combine(_files.Path, "boot.log"), content, TestContext.Current.CancellationToken);

        var uploaded = await hub.JsonAsync("device", "upload-file", "-d", Id, "--file-path", Path.Combine(_files.Path, "boot.log"), "--content-type", "text/plain");
        Assert.Equal(($"{Id}/boot.log", content.Length), ((string)uploaded["blobName"]!, (int)uploaded["sizeBytes"]!));
        var told = await hub.JsonAsync("monitor-file-notifications", "--message-count", "1");
        Assert.Equal(($"{Id}/boot.log", content.Length), ((string)told["blobName"]!, (int)told["blobSizeInBytes"]!));
        var listed = (await hub.JsonAsync("device", "file", "list", "-d", Id)).AsArray();
        Assert.Equal(($"{Id}/boot.log", "text/plain"), ((string)Assert.Single(listed)!["blobName"]!, (string)listed[0]!["contentType"]!));
        Assert.Empty((await hub.JsonAsync("device", "file", "list-uploads", "-d", Id)).AsArray());

        var copy = Path.Combine(_files.Path, "copy");
        await hub.JsonAsync("device", "file", "download", "-d", Id, "-n", "boot.log", "--file-path", copy);
        Assert.Equal(content, await File.ReadAllBytesAsync(copy, TestContext.Current.CancellationToken));
        var again = await hub.RunAsync("device", "file", "download", "-d", Id, "-n", "boot.log", "--file-path", copy);
        Assert.Equal(1, again.Exit);
        Assert.Contains("cannot be written", again.Error, StringComparison.Ordinal);

        Assert.Equal(0, (await hub.RunAsync("device", "file", "delete", "-d", Id, "-n", "boot.log", "-y")).Exit);
        var gone = await hub.RunAsync("device", "file", "download", "-d", Id, "-n", "boot.log", "--file-path", Path.Combine(_files.Path, "none"));
        Assert.Equal(1, gone.Exit);
        Assert.StartsWith("The device has no such file", gone.Error, StringComparison.OrdinalIgnoreCase);
        Assert.False(File.Exists(Path.Combine(_files.Path, "none")));
    }

    [Fact]
    public async Task Upload_OfNothing_OrForNobody_SaysSo()
    {
        var missing = await hub.RunAsync("device", "upload-file", "-d", "d1", "--file-path", Path.Combine(_files.Path, "none"));
        Assert.Equal(1, missing.Exit);
        Assert.Contains("--file-path: ", missing.Error, StringComparison.Ordinal);
        await File.WriteAllTextAsync(Path.Combine(_files.Path, "a"), "a", TestContext.Current.CancellationToken);
        Assert.Equal(1, (await hub.RunAsync("device", "upload-file", "-d", "nobody", "--file-path", Path.Combine(_files.Path, "a"))).Exit);
    }
}
