using System.Text.RegularExpressions;

namespace Sallyport.Tests.Protocol;

/// <summary>The clause matrix of each standard (<c>docs/protocols/clauses.sh</c>) has no holes.</summary>
public sealed partial class ClauseTests
{
    private static readonly string Source = Path.Combine(Root(), "src");

    [Theory]
    [InlineData("MQTT")]
    [InlineData("AMQP")]
    public void EveryClause_HonouredInTheCode_IsNamedInATest(string standard)
    {
        var honoured = Clauses(Source, standard);
        var tested = Clauses(Path.Combine(Root(), "tests"), standard);

        Assert.NotEmpty(honoured);
        Assert.Empty(honoured.Except(tested));
        Assert.Empty(tested.Except(honoured));
    }

    [Fact]
    public void EveryClause_OfAmqp_IsARowOfItsPage()
    {
        var page = File.ReadAllText(Path.Combine(Root(), "docs", "protocols", "amqp.md"));
        HashSet<string> rows = [.. Row().Matches(page).Select(row => $"[AMQP-{row.Groups[1].Value}]")];

        Assert.Equal(Clauses(Source, "AMQP").Order(StringComparer.Ordinal), rows.Order(StringComparer.Ordinal));
    }

    private static HashSet<string> Clauses(string directory, string standard) =>
    [
        .. Directory.EnumerateFiles(directory, "*.cs", SearchOption.AllDirectories).SelectMany(file => Tag().Matches(File.ReadAllText(file)))
            .Select(tag => tag.Value).Where(tag => tag.StartsWith($"[{standard}-", StringComparison.Ordinal)),
    ];

    private static string Root()
    {
        var directory = new DirectoryInfo(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(directory.FullName, "Sallyport.slnx")))
            directory = directory.Parent ?? throw new InvalidOperationException("no Sallyport.slnx above the tests");
        return directory.FullName;
    }

    [GeneratedRegex(@"\[(MQTT-\d+\.\d+\.\d+-\d+|AMQP-\d+(\.\d+)+)\]")]
    private static partial Regex Tag();

    [GeneratedRegex(@"^\| ([1235](?:\.\d+)+) \|", RegexOptions.Multiline)]
    private static partial Regex Row();
}
