using System.Diagnostics;
using Sallyport.Storage;

namespace Sallyport.Tests.Storage;

public sealed class DataDirectoryTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();

    private string Data => _directory["data"];

    public void Dispose() => _directory.Dispose();

    [Fact]
    public void Open_MissingDirectory_MakesItForItsOwnerOnly()
    {
        using var data = Open(_directory["not/there/data"]);

        foreach (var path in (string[])[data.Path, data.LogPath, data.TlsPath, data.SinksPath, data.AuditPath])
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute, File.GetUnixFileMode(path));
        foreach (var file in Directory.GetFiles(data.Path))
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(file));
        Assert.Matches("^[0-9a-f]{16}$", data.Id);
        Assert.Null(data.KeyId);
    }

    [Fact]
    public void Open_Again_KeepsIdAndKey()
    {
        string id;
        using (var first = Open(Data))
        {
            id = first.Id;
            first.RecordKeyId("0123456789abcdef");
        }

        using var second = Open(Data + "/");
        Assert.Equal((id, "0123456789abcdef"), (second.Id, second.KeyId));
    }

    [Fact]
    public void Open_LooseMode_IsTightened()
    {
        Directory.CreateDirectory(Data, (UnixFileMode)0b111_101_101);

        using var data = Open(Data);

        Assert.Equal((UnixFileMode)0b111_000_000, File.GetUnixFileMode(Data));
    }

    [Fact]
    public void Open_HeldInThisProcess_NamesThePid()
    {
        using var first = Open(Data);

        var refused = Assert.Throws<DataDirectoryInUseException>(() => Open(Data));

        Assert.Equal(Environment.ProcessId, refused.ProcessId);
        Assert.Contains($"in use by process {Environment.ProcessId}:", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Open_HolderKilled_IsFreeAgain()
    {
        Open(Data).Dispose();
        var script = $"echo $$ > '{Data}/lock'; echo held; exec sleep 600";
        using var holder = Process.Start(new ProcessStartInfo("flock", ["--no-fork", "--exclusive", Data + "/lock", "sh", "-c", script]) { RedirectStandardOutput = true })!;
        try
        {
            Assert.Equal("held", await holder.StandardOutput.ReadLineAsync());
            Assert.Equal(holder.Id, Assert.Throws<DataDirectoryInUseException>(() => Open(Data)).ProcessId);
        }
        finally
        {
            holder.Kill();
            await holder.WaitForExitAsync();
        }

        Open(Data).Dispose();
    }

    [Fact]
    public void Lock_ChildStartedMeanwhile_DoesNotInheritIt()
    {
        using var data = Open(Data);
        using var child = Process.Start("sleep", "600");
        try
        {
            data.Dispose();
            Open(Data).Dispose();
        }
        finally
        {
            child.Kill();
        }
    }

    [Fact]
    public void Open_NewerFormat_IsRefusedByName()
    {
        Open(Data).Dispose();
        File.WriteAllText(Data + "/format.json", """{"format":"sallyport-data-directory","version":2,"shards":[]}""");

        var refused = Assert.Throws<UnusableDataException>(() => Open(Data));

        Assert.Contains("data directory format 2, and this Sallyport knows up to 1", refused.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("")]
    [InlineData("{")]
    [InlineData("[]")]
    [InlineData("""{"format":"sallyport-data-directory"}""")]
    [InlineData("""{"format":"sallyport-data-directory","version":"1"}""")]
    [InlineData("""{"format":"sallyport-data-directory","version":1}""")]
    [InlineData("""{"format":"something else","version":1}""")]
    public void Open_DamagedFormat_IsRefused(string content)
    {
        Open(Data).Dispose();
        File.WriteAllText(Data + "/format.json", content);

        Assert.Contains("format.json", Assert.Throws<UnusableDataException>(() => Open(Data)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Open_FormatOfTheFirstVersion_IsUnderstood()
    {
        Directory.CreateDirectory(Data);
        File.WriteAllText(Data + "/format.json", """
            {
              "format": "sallyport-data-directory",
              "version": 1,
              "id": "00112233445566ff",
              "keyId": "8899aabbccddeeff",
              "createdTime": "2026-01-02T12:00:00+00:00"
            }
            """);

        using var data = Open(Data);

        Assert.Equal(("00112233445566ff", "8899aabbccddeeff"), (data.Id, data.KeyId));
    }

    [Fact]
    public void Open_DirectoryOfSomethingElse_IsRefusedAndLeftAlone()
    {
        Directory.CreateDirectory(Data);
        File.WriteAllText(Data + "/thesis.txt", "x");

        var refused = Assert.Throws<UnusableDataException>(() => Open(Data));

        Assert.Contains("'thesis.txt'", refused.Message, StringComparison.Ordinal);
        Assert.False(File.Exists(Data + "/format.json"));
    }

    [Fact]
    public void Open_File_IsRefused()
    {
        File.WriteAllText(Data, "");

        Assert.Contains("is a file", Assert.Throws<UnusableDataException>(() => Open(Data)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Open_MustExist_RefusesWhatIsMissingOrEmpty()
    {
        Assert.Contains("There is no data directory", Assert.Throws<UnusableDataException>(() => DataDirectory.Open(Data, TimeProvider.System, mustExist: true)).Message, StringComparison.Ordinal);
        Assert.False(Directory.Exists(Data));

        Directory.CreateDirectory(Data);
        Assert.Contains("is not a data directory", Assert.Throws<UnusableDataException>(() => DataDirectory.Open(Data, TimeProvider.System, mustExist: true)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Open_PlaceThatCannotBeWritten_SaysSo() =>
        Assert.Contains("'/proc/sallyport'", Assert.Throws<UnusableDataException>(() => Open("/proc/sallyport")).Message, StringComparison.Ordinal);

    [Fact]
    public void Open_OfAnotherOwner_IsRefused()
    {
        // Root's own directory for everybody else; for root, one that is given away.
        var path = "/usr";
        if (Environment.IsPrivilegedProcess)
        {
            Directory.CreateDirectory(Data);
            using var chown = Process.Start("chown", ["12345", Data]);
            chown.WaitForExit();
            path = Data;
        }

        Assert.Matches("belongs to user id (0|12345) and this process runs as user id", Assert.Throws<UnusableDataException>(() => Open(path)).Message);
    }

    private static DataDirectory Open(string path) => DataDirectory.Open(path, TimeProvider.System);
}
