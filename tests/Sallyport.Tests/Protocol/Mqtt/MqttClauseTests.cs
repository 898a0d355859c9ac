using System.Text.RegularExpressions;

namespace Sallyport.Tests.Protocol.Mqtt;

/// <summary>The clause matrix (<c>docs/protocols/mqtt-clauses.sh</c>) has no holes.</summary>
public sealed partial class MqttClauseTests
{
    [Fact]
    public void EveryClause_HonouredInTheCode_IsNamedInATest()
    {
        var root = Root();
        var honoured = Clauses(Path.Combine(root, "src", "Sallyport.Protocol"));
        honoured.UnionWith(Clauses(Path.Combine(root, "src", "Sallyport.Heads")));
        var tested = Clauses(Path.Combine(root, "tests"));

        Assert.NotEmpty(honoured);
        Assert.Empty(honoured.Except(tested));
        Assert.Empty(tested.Except(Clauses(Path.Combine(root, "src"))));
    }

    private static HashSet<string> Clauses(string directory) =>
    [
        .. Directory.EnumerateFiles(directory, "*.cs", SearchOption.AllDirectories).SelectMany(file => Tag().Matches(File.ReadAllText(file))).Select(tag => tag.Value),
    ];

    private static string Root()
    {
        var directory = new DirectoryInfo(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(directory.FullName, "Sallyport.slnx")))
            directory = directory.Parent ?? throw new InvalidOperationException("no Sallyport.slnx above the tests");
        return directory.FullName;
    }

    [GeneratedRegex(@"\[MQTT-\d+\.\d+\.\d+-\d+\]")]
    private static partial Regex Tag();
}
