using System.Globalization;
using System.Text.RegularExpressions;
using Sallyport.Cli;
using Sallyport.Client.Service;
using Sallyport.Heads;
using Sallyport.Hub.Access;
using Sallyport.Protocol.Identities;
using Sallyport.Services.Connections;
using Sallyport.Storage.EventLog;
using Sallyport.Tests.Executable;

namespace Sallyport.Tests.Architecture;

/// <summary>Rules that references between projects cannot hold.</summary>
public sealed partial class SourceTests
{
    private static readonly (string Path, string Text)[] Sources =
        [.. Directory.EnumerateFiles(Path.Combine(SourceTree.Root, "src"), "*.cs", SearchOption.AllDirectories)
            .Select(path => Path.GetRelativePath(SourceTree.Root, path).Replace('\\', '/'))
            .Where(path => !path.Contains("/obj/", StringComparison.Ordinal) && !path.Contains("/bin/", StringComparison.Ordinal))
            .Select(path => (path, SourceTree.Read(path)))];

    [Fact]
    public void Heads_DoNotSeeEachOther()
    {
        var heads = Directory.GetDirectories(Path.Combine(SourceTree.Root, "src", "Sallyport.Heads"))
            .Select(directory => Path.GetFileName(directory)!).Where(head => head is "Amqp" or "Http" or "Mqtt").ToList();

        Assert.All(heads, head => Assert.All(
            Under($"src/Sallyport.Heads/{head}/"),
            source => Assert.DoesNotContain(heads, other => other != head && source.Text.Contains($"Sallyport.Heads.{other}", StringComparison.Ordinal))));
    }

    [Fact]
    public void Connections_CarryHeadsWithoutSeeingThem() =>
        Assert.All(Under("src/Sallyport.Heads/Connections/"), source => Assert.DoesNotMatch(Head(), source.Text));

    [Fact]
    public void Sql_IsNowhereAboveStorageButInTheTargetsOfConnections()
    {
        var elsewhere = Sources.Where(source => !source.Path.StartsWith("src/Sallyport.Storage/", StringComparison.Ordinal)
            && !source.Path.StartsWith("src/Sallyport.Services/Sql/", StringComparison.Ordinal));

        Assert.All(elsewhere, source => Assert.DoesNotMatch(SqlText(), source.Text));
    }

    [Fact]
    public void Time_ComesFromATimeProvider()
    {
        Assert.All(Sources, source => Assert.False(OwnClock().IsMatch(source.Text), $"{source.Path} reads a clock of its own"));
    }

    [Fact]
    public void LogEntries_HaveIdsOfTheirOwn()
    {
        var ids = Sources.SelectMany(source => EventIds().Matches(source.Text).Select(match => (Id: int.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture), source.Path))).ToList();

        Assert.NotEmpty(ids);
        Assert.All(ids.GroupBy(entry => entry.Id), same => Assert.True(same.Count() == 1, $"event id {same.Key} is used in {string.Join(" and ", same.Select(entry => entry.Path))}"));
    }

    [Fact]
    public void Names_AreNounsOfTheDomain()
    {
        Assert.All(Sources, source => Assert.DoesNotMatch(HiddenNoun(), Path.GetFileNameWithoutExtension(source.Path)));
    }

    [Fact]
    public void Classes_AreSealedUnlessSomethingDerivesFromThem()
    {
        var types = new[]
        {
            typeof(Identity), typeof(IEventLog), typeof(Policies), typeof(RouteAccess), typeof(ServiceClient), typeof(ServiceConnections), typeof(CommandLine),
        }.SelectMany(type => type.Assembly.GetTypes()).Where(type => type.Namespace?.StartsWith("Sallyport", StringComparison.Ordinal) == true).ToList();

        var open = types.Where(type => type is { IsClass: true, IsSealed: false, IsAbstract: false } && !types.Exists(derived => derived.BaseType == type));

        Assert.Empty(open);
    }

    private static IEnumerable<(string Path, string Text)> Under(string folder) => Sources.Where(source => source.Path.StartsWith(folder, StringComparison.Ordinal));

    [GeneratedRegex(@"Sallyport\.(Heads|Protocol)\.(Amqp|Http|Mqtt)\b")]
    private static partial Regex Head();

    [GeneratedRegex("SqliteConnection|NpgsqlConnection|\"(SELECT(?! ([*]|deviceId[^\"]*) FROM devices)|INSERT|UPDATE|DELETE|CREATE TABLE) ")]
    private static partial Regex SqlText();

    [GeneratedRegex(@"\bDateTime(Offset)?\.(UtcNow|Now|Today)\b|\bStopwatch\.(StartNew|GetTimestamp)\b|\bEnvironment\.TickCount|\bThread\.Sleep\b")]
    private static partial Regex OwnClock();

    [GeneratedRegex(@"(?:LoggerMessage\((?:EventId = )?|\bEventId\(|\bEventId \w+ = new\()(\d{4})\b")]
    private static partial Regex EventIds();

    [GeneratedRegex("Manager$|Helper|Utils?$|Processor$")]
    private static partial Regex HiddenNoun();
}
