using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sallyport.Hub.Access;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Posture;

namespace Sallyport.Heads.Http;

/// <summary>Weak spots in configuration and registry, each with its fix.</summary>
internal sealed class PostureRoutes(PostureCheck posture, PrivilegedReads reads)
{
    public void Map(IEndpointRouteBuilder routes) =>
        routes.MapGet("/manage/v1/posture", LookAsync).Requires(Rights.AuditRead)
            .Describe("Looks for weak spots in configuration and registry; the worst first.", answer: HttpJson.Wire.PostureJson);

    private async Task LookAsync(HttpContext context)
    {
        reads.Note(context.Actor(), "posture read", "*");
        await context.WriteJsonAsync(PostureJson.Of(await posture.LookAsync(context.RequestAborted)), HttpJson.Wire.PostureJson);
    }
}

/// <param name="Worst"><c>info</c>, <c>low</c>, <c>medium</c>, <c>high</c>, <c>critical</c>; null when nothing was found.</param>
internal sealed record PostureJson(DateTime Time, DateTime SeenSince, string? Worst, IReadOnlyList<FindingJson> Findings)
{
    public static PostureJson Of(PostureReport report) => new(
        report.Time.UtcDateTime, report.SeenSince.UtcDateTime, report.Worst is { } worst ? NameOf(worst) : null,
        [.. report.Findings.Select(finding => new FindingJson(
            finding.Id, NameOf(finding.Level), finding.What, finding.Where, finding.Count, finding.Examples, finding.Fix))]);

    private static string NameOf(PostureLevel level) => level.ToString().ToLowerInvariant();
}

internal sealed record FindingJson(string Id, string Level, string What, string Where, long Count, IReadOnlyList<string> Examples, string Fix);
