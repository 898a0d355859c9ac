using System.Collections;
using System.Text.Json.Nodes;
using Microsoft.Extensions.Logging;
using Sallyport.Settings;

namespace Sallyport.Tests.Executable.Settings;

public sealed class SettingsReaderTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Fact]
    public void Settings_NothingGiven_AreTheDefaults()
    {
        var reading = Read(null, [], []);

        Assert.Empty(reading.Errors);
        Assert.Null(reading.File);
        Assert.Equal(8883, reading.Settings.Listeners.MqttsPort);
        Assert.Null(reading.Settings.Listeners.HttpsPort);
        Assert.Equal(["localhost", "sallyport.localhost"], reading.Settings.Hub.Hosts.Take(2));
    }

    [Fact]
    public void Settings_GivenEverywhere_FlagsWinOverEnvironmentOverFile()
    {
        var file = Write(
            """
            {
              "$schema": "sallyport.schema.json",
              // A comment, and a comma too many.
              "Listeners": { "HttpsPort": 1, "MqttsPort": 2, "Bind": "127.0.0.1" },
              "Log": { "Level": "warning" },
            }
            """);

        var reading = Read(file, new() { ["SALLYPORT__Listeners__HttpsPort"] = "11", ["SALLYPORT__LISTENERS__MQTTSPORT"] = "12" }, new() { ["Listeners:HttpsPort"] = ["21"] });

        Assert.Empty(reading.Errors);
        Assert.Equal(21, reading.Settings.Listeners.HttpsPort);
        Assert.Equal(12, reading.Settings.Listeners.MqttsPort);
        Assert.Equal("127.0.0.1", reading.Settings.Listeners.Bind);
        Assert.Equal(LogLevel.Warning, reading.Settings.Log.Level);
    }

    [Fact]
    public void Settings_ManyErrors_AreAllReported()
    {
        var file = Write("""{ "Listeners": { "HttpsPort": 70000, "Typo": 1 }, "Nope": { "X": 1 }, "Log": { "Level": "loud" }, "Tls": { "KeyFile": "k.pem" } }""");

        var reading = Read(file, new() { ["SALLYPORT__Hub__Production"] = "perhaps" }, new() { ["Hub:Hosts"] = ["a_b:443"] });

        Assert.Collection(
            reading.Errors.Order(StringComparer.Ordinal).Select(error => error.Replace(file, "FILE", StringComparison.Ordinal)),
            error => Assert.Equal("FILE: Listeners:HttpsPort must be a whole number from 0 to 65535", error),
            error => Assert.Equal("FILE: Log:Level must be one of Trace, Debug, Information, Warning, Error, Critical, None", error),
            error => Assert.Equal("FILE: there is no setting Listeners:Typo; docs/configuration.md lists them all", error),
            error => Assert.Equal("FILE: there is no setting Nope:X; docs/configuration.md lists them all", error),
            error => Assert.StartsWith("Tls:KeyFile is set without Tls:CertificateFile", error),
            error => Assert.StartsWith("command line: Hub:Hosts must hold DNS names or IP addresses", error),
            error => Assert.Equal("environment variable SALLYPORT__Hub__Production: Hub:Production must be true or false", error));
    }

    [Theory]
    [InlineData("127.0.0.1", "127.0.0.1", "must be another address")]
    [InlineData(null, "::1", "must be another address")]
    [InlineData("127.0.0.1", "0.0.0.0", "must be one address")]
    [InlineData("127.0.0.1", "::", "must be one address")]
    [InlineData("127.0.0.1", null, "Listeners:ServicePort needs Listeners:ServiceBind")]
    public void ServiceBind_NotApartFromThatOfDevices_IsAnError(string? bind, string? service, string error)
    {
        var flags = new Dictionary<string, IReadOnlyList<string>> { ["Listeners:ServicePort"] = ["9443"] };
        if (bind is not null)
            flags["Listeners:Bind"] = [bind];
        if (service is not null)
            flags["Listeners:ServiceBind"] = [service];

        Assert.Contains(error, Assert.Single(Read(null, [], flags).Errors));
    }

    [Fact]
    public void File_NotJson_IsAnErrorWithItsLine()
    {
        var reading = Read(Write("{\n  \"Log\": {,\n}"), [], []);

        Assert.Matches("not JSON at line 2", Assert.Single(reading.Errors));
    }

    [Fact]
    public void File_MissingButNamed_IsAnError()
    {
        Assert.Matches("cannot be read", Assert.Single(Read(_directory["absent.json"], [], []).Errors));
    }

    [Fact]
    public void File_InDataDirectory_IsFoundAndMayNotMoveTheData()
    {
        Write("""{ "Hub": { "Data": "elsewhere" }, "Log": { "Format": "json" } }""");

        var reading = Read(null, [], new() { ["Hub:Data"] = [_directory.Path] });

        Assert.Equal(_directory["sallyport.json"], reading.File);
        Assert.Equal(LogFormat.Json, reading.Settings.Log.Format);
        Assert.Contains("Hub:Data cannot be set", Assert.Single(reading.Errors));
    }

    [Fact]
    public void Path_InFile_IsRelativeToTheFile()
    {
        var reading = Read(Write("""{ "Tls": { "CertificateFile": "certs/hub.pem" } }"""), [], []);

        Assert.Equal(_directory["certs/hub.pem"], reading.Settings.Tls.CertificateFile);
    }

    [Fact]
    public void List_InEnvironment_IsSeparatedByCommas()
    {
        var reading = Read(null, new() { ["SALLYPORT__Hub__Hosts"] = "Hub.Example.org, 10.0.0.7" }, []);

        Assert.Equal(["hub.example.org", "10.0.0.7"], reading.Settings.Hub.Hosts);
    }

    [Fact]
    public void Schema_AsShipped_DescribesEverySettingAndNothingElse()
    {
        var path = Path.Combine("src", "Sallyport", "sallyport.schema.json");

        SourceTree.AssertHolds(path, SettingsSchema.Write());
        Assert.Equal(AllSettings.Table.Count, JsonNode.Parse(SourceTree.Read(path))!["properties"]!.AsObject()
            .Where(section => section.Key != "$schema").Sum(section => section.Value!["properties"]!.AsObject().Count));
    }

    [Fact]
    public void Documentation_ListsEverySetting()
    {
        var rows = AllSettings.Table.Select(setting => $"| `{setting.Key}` | {setting.Description} |\n");
        var page = SourceTree.Read(Path.Combine("docs", "configuration.md"));
        const string heading = "| key | meaning |\n|---|---|\n";
        var from = page.IndexOf(heading, StringComparison.Ordinal) + heading.Length;
        var to = page.IndexOf("\n## The data directory", StringComparison.Ordinal);

        SourceTree.AssertHolds(Path.Combine("docs", "configuration.md"), page[..from] + string.Concat(rows) + page[to..]);
    }

    private string Write(string json)
    {
        File.WriteAllText(_directory["sallyport.json"], json);
        return _directory["sallyport.json"];
    }

    private static SettingsReading Read(string? file, Hashtable environment, Dictionary<string, IReadOnlyList<string>> flags) =>
        SettingsReader.Read(file, environment, flags);
}
