using System.CommandLine;
using System.Text.RegularExpressions;
using Sallyport.Cli;
using Sallyport.Up;

namespace Sallyport.Tests.Executable.Cli;

/// <summary>Holds <c>docs/az-cli.md</c> to the commands that there are.</summary>
public sealed partial class AzVerbsTests
{
    private static readonly HashSet<string> Verbs = [.. AllVerbs()];

    [Fact]
    public void Page_NamesEachVerbOfAzOnce_AndWhereItIs()
    {
        var rows = Rows();

        Assert.True(rows.Count > 100);
        Assert.Equal(rows.Select(row => row.Az).Distinct(), rows.Select(row => row.Az));
        Assert.All(rows, row => Assert.True(row.Here.StartsWith("not here: ", StringComparison.Ordinal) || Named(row.Here) is not null, $"{row.Az}: names no verb of ours and no reason"));
    }

    [Fact]
    public void Verb_ThatThePageSaysIsHere_IsThere() =>
        Assert.Empty(Rows().Where(row => !row.Here.StartsWith("not ", StringComparison.Ordinal) && !Verbs.Contains(Named(row.Here)!)).Select(row => $"{row.Az}: there is no {row.Here}"));

    [Fact]
    public void Verb_ThatThePageSaysIsNotYet_IsNotThere() =>
        Assert.Empty(Rows().Where(row => row.Here.StartsWith("not yet", StringComparison.Ordinal) && Verbs.Contains(Named(row.Here)!)).Select(row => $"{row.Az}: is there now, docs/az-cli.md says not yet"));

    [Fact]
    public void EachVerbOfOurs_ThatAzHasByTheSameName_IsOnThePage()
    {
        string[] nouns = ["device-identity", "module-identity", "device-twin", "module-twin", "configuration", "job", "digital-twin", "device c2d-message", "edge"];
        var ours = Verbs.Where(verb => nouns.Any(noun => verb.StartsWith(noun + " ", StringComparison.Ordinal))).Except(OnlyOurs);

        Assert.Empty(ours.Except(Rows().Select(row => Named(row.Here)).OfType<string>()));
    }

    // What Azure lacks.
    private static readonly string[] OnlyOurs =
        ["device-twin history", "module-twin history", "device c2d-message list", "device c2d-message list-dead", "device c2d-message replay",
            "job devices", "device-identity job list", "device-identity job show", "device-identity job cancel"];

    private static List<(string Az, string Here)> Rows() =>
        [.. Row().Matches(SourceTree.Read("docs/az-cli.md")).Skip(1).Select(match => (match.Groups[1].Value.Trim(), match.Groups[2].Value.Trim())).Where(row => !row.Item1.StartsWith('-'))];

    private static string? Named(string here) => OurVerb().Match(here) is { Success: true } match ? match.Groups[1].Value : null;

    private static IEnumerable<string> AllVerbs()
    {
        using var signals = new Signals();
        return [.. Below(CommandLine.Commands(new Terminal(TextReader.Null, TextWriter.Null, TextWriter.Null), TimeProvider.System, signals), "")];

        static IEnumerable<string> Below(Command command, string path) => command.Subcommands.SelectMany(
            below => below.Subcommands.Count == 0 ? [path + below.Name] : Below(below, $"{path}{below.Name} "));
    }

    [GeneratedRegex(@"^\| ?(.+?) \| ?(.+?) \|$", RegexOptions.Multiline)]
    private static partial Regex Row();

    [GeneratedRegex("`sallyport ([a-z0-9 -]+)`")]
    private static partial Regex OurVerb();
}
