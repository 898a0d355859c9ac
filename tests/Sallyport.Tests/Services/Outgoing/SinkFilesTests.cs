using Sallyport.Services.Outgoing;
using Sallyport.Tests.Storage;

namespace Sallyport.Tests.Services.Outgoing;

public sealed class SinkFilesTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();
    private readonly string _sinks;
    private readonly string _elsewhere;

    public SinkFilesTests()
    {
        _sinks = _directory["sinks"];
        _elsewhere = Directory.CreateDirectory(_directory["elsewhere"]).FullName;
    }

    [Fact]
    public void Path_Relative_IsInTheSinksDirectoryWhichIsMadePrivate()
    {
        Assert.Equal(Path.Combine(_sinks, "telemetry.db"), Resolve("telemetry.db"));
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute, File.GetUnixFileMode(_sinks));
    }

    [Fact]
    public void Path_Absolute_IsTakenInside()
    {
        Assert.Equal(Path.Combine(_sinks, "a.db"), Resolve(Path.Combine(_sinks, "x", "..", "a.db")));
    }

    [Theory]
    [InlineData("../elsewhere/a.db")]
    [InlineData("x/../../elsewhere/a.db")]
    [InlineData("/etc/passwd")]
    [InlineData("../sinks-of-another/a.db")]
    [InlineData("..")]
    public void Path_Outside_IsRefused(string path)
    {
        Directory.CreateDirectory(_directory["sinks-of-another"]);

        Assert.Throws<TargetException>(() => Resolve(path));
    }

    [Fact]
    public void Link_ToOutside_IsRefused()
    {
        Directory.CreateDirectory(_sinks);
        Directory.CreateSymbolicLink(Path.Combine(_sinks, "directory"), _elsewhere);
        File.CreateSymbolicLink(Path.Combine(_sinks, "absolute.db"), Path.Combine(_elsewhere, "a.db"));
        File.CreateSymbolicLink(Path.Combine(_sinks, "relative.db"), "../elsewhere/a.db");
        File.CreateSymbolicLink(Path.Combine(_sinks, "twice.db"), "relative.db");

        foreach (var path in (string[])["directory/a.db", "absolute.db", "relative.db", "twice.db"])
            Assert.Throws<TargetException>(() => Resolve(path));
    }

    [Fact]
    public void Link_UpThroughALinkedDirectory_IsFollowedAsTheSystemDoes()
    {
        // Read as text, the path stays inside; the system goes up from where the link leads.
        Directory.CreateDirectory(_sinks);
        Directory.CreateDirectory(Path.Combine(_elsewhere, "deep"));
        Directory.CreateSymbolicLink(Path.Combine(_sinks, "link"), Path.Combine(_elsewhere, "deep"));

        Assert.Throws<TargetException>(() => Resolve("link/../a.db"));
    }

    [Fact]
    public void Link_InACircle_IsRefused()
    {
        Directory.CreateDirectory(_sinks);
        File.CreateSymbolicLink(Path.Combine(_sinks, "a.db"), "b.db");
        File.CreateSymbolicLink(Path.Combine(_sinks, "b.db"), "a.db");

        Assert.Throws<TargetException>(() => Resolve("a.db"));
    }

    [Fact]
    public void Directory_NamedInTheConfiguration_IsAllowed()
    {
        var files = new SinkFiles(new OutgoingOptions { SinksDirectory = _sinks, FileDirectories = [_elsewhere] });

        Assert.Equal(Path.Combine(_elsewhere, "a.db"), files.Resolve(Path.Combine(_elsewhere, "a.db")));
    }

    [Fact]
    public void Directory_Missing_IsRefused()
    {
        var missing = Assert.Throws<TargetException>(() => Resolve("not/there/a.db"));

        Assert.Contains("does not exist", missing.Message);
    }

    public void Dispose() => _directory.Dispose();

    private string Resolve(string path) => new SinkFiles(new OutgoingOptions { SinksDirectory = _sinks }).Resolve(path);
}
