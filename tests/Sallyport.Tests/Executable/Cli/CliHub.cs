using System.Text.Json.Nodes;
using Sallyport.Cli;

namespace Sallyport.Tests.Executable.Cli;

/// <summary>A running hub, and the command line called against it in this process. Shared by the tests of a class, which use names of their own.</summary>
public sealed class CliHub : IAsyncLifetime
{
    private TestHub _hub = null!;

    internal string Data => _hub.Data;

    internal TestHub Hub => _hub;

    public async ValueTask InitializeAsync() => _hub = await TestHub.StartAsync();

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    internal Task<CliResult> RunAsync(params string[] arguments) => CliResult.OfAsync([.. arguments, "--data", Data]);

    internal Task<CliResult> RunWithInputAsync(string input, params string[] arguments) => CliResult.OfAsync([.. arguments, "--data", Data], input);

    /// <summary>Runs a verb that must work, and gives the JSON that it prints.</summary>
    internal async Task<JsonNode> JsonAsync(params string[] arguments)
    {
        var result = await RunAsync(arguments);
        Assert.Equal("", result.Error);
        Assert.Equal(0, result.Exit);
        return JsonNode.Parse(result.Out)!;
    }

    /// <summary>Sends telemetry of a device that exists.</summary>
    internal async Task SendAsync(string deviceId, params string[] payloads)
    {
        using var client = _hub.Owner();
        foreach (var payload in payloads)
            await client.SendAsync(HttpMethod.Post, $"devices/{deviceId}/messages/events", JsonNode.Parse(payload, documentOptions: new() { MaxDepth = 100 }), cancel: TestContext.Current.CancellationToken);
    }
}

/// <summary>What a call of the command line did.</summary>
internal sealed record CliResult(int Exit, string Out, string Error)
{
    public static async Task<CliResult> OfAsync(IReadOnlyList<string> arguments, string input = "", Func<string, string?>? variable = null)
    {
        using var reader = new StringReader(input);
        using var output = new StringWriter();
        using var error = new StringWriter();
        var terminal = new Terminal(reader, output, error) { Variable = variable ?? (_ => null) };
        var exit = await CommandLine.RunAsync(arguments, terminal, TimeProvider.System, TestContext.Current.CancellationToken);
        return new CliResult(exit, output.ToString(), error.ToString());
    }
}
