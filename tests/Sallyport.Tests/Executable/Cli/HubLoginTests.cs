using System.Net;
using System.Net.Sockets;
using Sallyport.Cli;
using Sallyport.Up;

namespace Sallyport.Tests.Executable.Cli;

public sealed class HubLoginTests(CliHub hub) : IClassFixture<CliHub>
{
    private static readonly string[] Verb = ["device-identity", "list"];

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    private string Owner => hub.Hub.Endpoints.OwnerConnectionString!;

    private string Port => hub.Hub.Endpoints.HttpsPort.ToString(System.Globalization.CultureInfo.InvariantCulture);

    [Fact]
    public async Task Login_OfAFile_IsUsed()
    {
        using var directory = new TemporaryDirectory();
        await File.WriteAllTextAsync(directory["login"], Owner + "\n", Cancel);

        var result = await CliResult.OfAsync([.. Verb, "--login-file", directory["login"], "--https-port", Port, "--ca-file", hub.Hub.Endpoints.CaFile!]);

        Assert.Equal((0, ""), (result.Exit, result.Error));
    }

    [Fact]
    public async Task Login_OfTheEnvironment_IsUsed()
    {
        var result = await CliResult.OfAsync([.. Verb, "--https-port", Port], variable: name => name switch
        {
            "SALLYPORT_LOGIN" => Owner,
            "SALLYPORT_CA_FILE" => hub.Hub.Endpoints.CaFile,
            _ => null,
        });

        Assert.Equal((0, ""), (result.Exit, result.Error));
    }

    [Fact]
    public async Task Login_OnTheCommandLine_IsUsedWithAWarning()
    {
        var result = await hub.RunAsync([.. Verb, "--login", Owner]);

        Assert.Equal(0, result.Exit);
        Assert.StartsWith("Warning: other users of this machine can read what --login says", result.Error);
    }

    [Theory]
    [InlineData("HostName=localhost;DeviceId=d1;SharedAccessKey=MTIzNA==", "--login: a policy's connection string is needed")]
    [InlineData("HostName=localhost;SharedAccessKey=swordfish", "--login: the connection string has")]
    public async Task Login_ThatIsNoPolicys_IsWrongUsage(string login, string expected)
    {
        var result = await hub.RunAsync([.. Verb, "--login", login]);

        Assert.Equal(2, result.Exit);
        Assert.Contains(expected, result.Error);
        Assert.DoesNotContain("swordfish", result.Error);
    }

    [Fact]
    public async Task Login_WithAWrongKey_SaysWhatToCheck()
    {
        var result = await hub.RunAsync([.. Verb, "--login", "HostName=localhost;SharedAccessKeyName=service;SharedAccessKey=MTIzNDU2Nzg5MDEyMzQ1Ng=="]);

        Assert.Equal(1, result.Exit);
        Assert.Contains("(IotHubUnauthorized): check that policy service exists and that this is its key of now.", result.Error);
    }

    [Fact]
    public async Task Login_WithoutTheRight_SaysWhichPolicyLacksIt()
    {
        var result = await hub.RunAsync("policy", "list", "--login", hub.Hub.Endpoints.ServiceConnectionString!);

        Assert.Equal(1, result.Exit);
        Assert.Contains("(IotHubUnauthorizedAccess): policy service does not hold the right that this needs, or not for this; use one that does.", result.Error);
    }

    [Fact]
    public async Task Hub_ThatIsNotTheOneNamed_IsNotTalkedTo()
    {
        // Without the hub's root the system's are trusted, which know nothing of it.
        var result = await CliResult.OfAsync([.. Verb, "--login", Owner, "--https-port", Port]);

        Assert.Equal(1, result.Exit);
        Assert.Contains($"What answers at localhost:{Port} did not prove to be that hub", result.Error);
        Assert.Contains("--ca-file", result.Error);
    }

    [Fact]
    public async Task CaFile_ThatIsNone_SaysSo()
    {
        var result = await hub.RunAsync([.. Verb, "--ca-file", "/dev/null"]);

        Assert.Equal(1, result.Exit);
        Assert.Contains("The root certificate /dev/null cannot be read", result.Error);
    }

    [Fact]
    public async Task Hub_ThatDoesNotAnswer_SaysSo()
    {
        using var directory = new TemporaryDirectory();
        new EndpointsFile { HostName = "localhost", HttpsPort = FreePort(), CaFile = hub.Hub.Endpoints.CaFile, OwnerConnectionString = Owner }.Write(directory.Path);

        var result = await CliResult.OfAsync([.. Verb, "--data", directory.Path]);

        Assert.Equal(1, result.Exit);
        Assert.StartsWith("No hub answers at localhost:", result.Error);
    }

    [Fact]
    public async Task Hub_InProduction_NeedsALogin()
    {
        using var directory = new TemporaryDirectory();
        new EndpointsFile { HostName = "localhost", HttpsPort = hub.Hub.Endpoints.HttpsPort, CaFile = hub.Hub.Endpoints.CaFile }.Write(directory.Path);

        var without = await CliResult.OfAsync([.. Verb, "--data", directory.Path]);
        var with = await CliResult.OfAsync([.. Verb, "--data", directory.Path], variable: name => name == "SALLYPORT_LOGIN" ? Owner : null);

        Assert.Equal(1, without.Exit);
        Assert.Contains("--login-file or in SALLYPORT_LOGIN", without.Error);
        Assert.Equal((0, ""), (with.Exit, with.Error));
    }

    [Fact]
    public async Task Verb_Interrupted_Fails()
    {
        using var error = new StringWriter();
        using var stop = new CancellationTokenSource();
        await stop.CancelAsync();

        var exit = await CommandLine.RunAsync([.. Verb, "--data", hub.Data], new Terminal(TextReader.Null, TextWriter.Null, error) { Variable = _ => null }, TimeProvider.System, stop.Token);

        Assert.Equal(1, exit);
        Assert.Equal("Interrupted: what was asked for may have been done or not.\n", error.ToString());
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
