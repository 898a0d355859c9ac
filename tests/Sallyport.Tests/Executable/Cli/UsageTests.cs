namespace Sallyport.Tests.Executable.Cli;

public sealed class UsageTests
{
    /// <summary>Every verb that asks a hub, with what it needs at least.</summary>
    public static readonly TheoryData<string> Verbs = new(
        "device-identity create -d d1", "device-identity show -d d1", "device-identity list", "device-identity update -d d1 --status disabled",
        "device-identity delete -d d1 -y", "device-identity renew-key -d d1 --kt both", "device-identity connection-string show -d d1",
        "device-identity import --bcu -", "device-identity export --bcu -", "device-identity job list", "device-identity job show --job-id j", "device-identity job cancel --job-id j", "device-identity parent show -d d1", "device-identity parent set -d d1 --pd e1", "device-identity children add -d e1 --cl d1 d2", "device-identity children remove -d e1 -a", "device-identity children list -d e1",
        "module-identity create -d d1 -m m1", "module-identity show -d d1 -m m1", "module-identity list -d d1", "module-identity update -d d1 -m m1 --am x509_ca",
        "module-identity delete -d d1 -m m1 -y", "module-identity renew-key -d d1 -m m1 --kt swap", "module-identity connection-string show -d d1 -m m1",
        "policy list", "policy show -n p", "policy create -n p --permissions twin-read", "policy renew-key -n p --rk swap", "policy delete -n p -y", "policy update -n p --permissions twin-read", "policy advise",
        "operator list", "operator show -n a", "operator create -n a --permissions twin-read --cf f", "operator renew -n a --cf f", "operator update -n a --status disabled", "operator delete -n a -y",
        "generate-sas-token", "connection create sql -n c --connection-string - --table t", "connection show -n c", "connection list",
        "connection pause -n c", "connection resume -n c", "connection test -n c", "connection delete -n c -y",
        "consumer-group list", "consumer-group show -n g", "consumer-group create -n g", "consumer-group delete -n g -y", "device quarantine d1", "device release d1", "device list-quarantined", "device c2d-message send -d d1 --body hello", "device c2d-message list -d d1", "device c2d-message receive -d d1", "device c2d-message complete -d d1 --etag e", "device c2d-message abandon -d d1 --etag e", "device c2d-message reject -d d1 --etag e", "device c2d-message purge -d d1", "device c2d-message list-dead", "device c2d-message replay -d d1 -n 1", "device upload-file -d d1 --file-path f", "device file list -d d1", "device file download -d d1 -n f", "device file delete -d d1 -n f -y", "device file list-uploads -d d1", "monitor-file-notifications", "security posture", "audit list", "audit export", "audit verify", "audit anchor", "limits show", "ip-filter list", "ip-filter add -n r --network ::/0 --action deny", "ip-filter delete -n r", "ip-filter move -n r --position 1",
        "ip-filter set --rules @missing.json", "invoke-device-method -d d1 --method-name m",
        "invoke-module-method -d d1 -m m1 --mn m --mp 1", "query -q q",
        "job create --job-id j -q * --mn m", "job show --job-id j", "job list", "job cancel --job-id j", "job devices --job-id j",
        "configuration create -c c --content {}", "configuration show -c c", "configuration list", "configuration update -c c --pri 1", "configuration delete -c c -y",
        "configuration show-metric -c c -m m", "edge deployment create -d c --content {}", "edge deployment show -d c", "edge deployment list", "edge deployment update -d c --tc *",
        "edge deployment delete -d c -y", "edge deployment show-metric -d c -m m", "edge set-modules -d e1 --content {}", "edge export-modules -d e1",
        "device-twin history -d d1", "module-twin history -d d1 -m m1",
        "import azure --devices f", "export azure --devices f", "import azure --state f", "export azure --state f", "digital-twin show -d d1", "digital-twin update -d d1 --patch []", "digital-twin invoke-command -d d1 --cn c --component-path t",
        "monitor-events", "monitor-feedback", "device send-d2c-message -d d1",
        "simulate", "status", "show-stats", "config show");

    [Theory]
    [MemberData(nameof(Verbs))]
    public async Task Verb_WithoutAHub_SaysHowToStartOne(string verb)
    {
        using var directory = new TemporaryDirectory();

        var result = await CliResult.OfAsync([.. verb.Split(' '), "--data", directory.Path], input: "secret\n");

        Assert.Equal(new CliResult(1, "", $"No hub is running on {directory.Path}: start it with ./sallyport up --data {directory.Path}.\n"), result);
    }

    [Theory]
    [MemberData(nameof(Verbs))]
    public async Task Verb_WithAFlagThatIsNot_NamesIt(string verb)
    {
        var result = await CliResult.OfAsync([.. verb.Split(' '), "--colour"]);

        Assert.Equal(2, result.Exit);
        Assert.Equal("", result.Out);
        Assert.Contains("'--colour'", result.Error);
        Assert.Contains("--help", result.Error);
    }

    [Theory]
    [MemberData(nameof(Verbs))]
    public async Task Verb_AskedForHelp_GivesAnExampleOfItself(string verb)
    {
        var words = verb.Split(' ').TakeWhile(word => word[0] != '-').ToArray();

        var result = await CliResult.OfAsync([.. words, "--help"]);

        Assert.Equal(0, result.Exit);
        Assert.Contains($"Example:\n  sallyport {string.Join(' ', words)}", result.Out);
    }

    [Theory]
    [MemberData(nameof(Verbs))]
    public void Verb_IsOnThePageOfTheCommandLine(string verb) =>
        Assert.Contains($"sallyport {string.Join(' ', verb.Split(' ').TakeWhile(word => word[0] != '-'))}", SourceTree.Read("docs/cli.md"));

    [Theory]
    [InlineData("device-identity show", "--device-id")]
    [InlineData("module-identity show -d d1", "--module-id")]
    [InlineData("policy show", "--name")]
    [InlineData("policy create -n p", "--permissions")]
    [InlineData("connection create sql -n c --table t", "--connection-string")]
    [InlineData("policy renew-key -n p", "--renew-key")]
    [InlineData("consumer-group create", "--name")]
    [InlineData("query", "--query-command")]
    [InlineData("job create --job-id j", "--query-condition")]
    [InlineData("job show", "--job-id")]
    public async Task Verb_WithoutAFlagThatItNeeds_NamesIt(string verb, string flag)
    {
        var result = await CliResult.OfAsync(verb.Split(' '));

        Assert.Equal(2, result.Exit);
        Assert.Contains(flag, result.Error);
    }
}
