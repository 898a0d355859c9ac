using System.CommandLine;
using System.Text.Json.Nodes;

namespace Sallyport.Cli;

/// <summary><c>security</c>: how well the hub is guarded.</summary>
internal static class SecurityCommand
{
    // In the order in which they matter.
    private static readonly string[] Levels = ["info", "low", "medium", "high", "critical"];

    private static readonly Printing Findings = Printing.Table(
        new("Level", "level"), new("Id", "id"), new("Count", "count"), new("What", "what"), new("Examples", "examples"), new("Fix", "fix"));

    public static Command Create(HubVerbs verbs)
    {
        var failOn = Flags.Choice("--fail-on", "Exit with 1 when there is a finding of this level or a higher one", Levels, null);
        return new Command("security", "How well the hub is guarded")
        {
            verbs.Create(
                "posture", "List weak spots in configuration and registry, the worst first, each with its fix", "security posture -o table --fail-on high", [failOn], Findings,
                async call =>
                {
                    var report = (await call.Client.SendAsync(HttpMethod.Get, "manage/v1/posture", cancel: call.Cancel).ConfigureAwait(false))!;
                    Findings.Write(call.Terminal, call.Output, call.Output == "table" ? report["findings"]! : report);
                    if (call.Parsed.GetValue(failOn) is { } level && CountFrom(report, level) is > 0 and var count)
                        throw new FailedException($"{count} {(count == 1 ? "finding is" : "findings are")} of level {level} or higher: mend as the report says.");

                    return null;
                }),
        };
    }

    private static int CountFrom(JsonNode report, string level) =>
        report["findings"]!.AsArray().Count(finding => Array.IndexOf(Levels, finding!["level"]!.GetValue<string>()) >= Array.IndexOf(Levels, level));
}
