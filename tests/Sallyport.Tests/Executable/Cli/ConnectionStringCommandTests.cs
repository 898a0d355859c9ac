namespace Sallyport.Tests.Executable.Cli;

public sealed class ConnectionStringCommandTests(CliHub hub) : IClassFixture<CliHub>
{
    [Fact]
    public async Task Show_OfTheEventHub_IsWhatTheHubPutsIntoItsEndpointsFile()
    {
        var shown = await hub.JsonAsync("connection-string", "show", "--default-eventhub");

        Assert.Equal(hub.Hub.Endpoints.EventHubConnectionString, (string?)shown["connectionString"]);
        Assert.EndsWith(";EntityPath=events", (string?)shown["connectionString"], StringComparison.Ordinal);
    }

    [Fact]
    public async Task Show_OfAPolicy_OpensTheHubWithTheKeyAskedFor()
    {
        var policy = await hub.JsonAsync("policy", "show", "-n", "service");

        var shown = await hub.JsonAsync("connection-string", "show", "--policy-name", "service", "--key-type", "secondary");

        Assert.Equal($"HostName=localhost;SharedAccessKeyName=service;SharedAccessKey={policy["secondaryKey"]}", (string?)shown["connectionString"]);
    }

    [Fact]
    public async Task Show_OfAPolicyThatIsNot_SaysSo()
    {
        var result = await hub.RunAsync("connection-string", "show", "--policy-name", "nobody");

        Assert.Equal((1, ""), (result.Exit, result.Out));
        Assert.Contains("nobody", result.Error);
    }
}
