using System.Globalization;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sallyport.Hub.Access;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Diagnosis;
using Sallyport.Protocol.Errors;
using Sallyport.Storage.Metadata;

namespace Sallyport.Heads.Http;

/// <summary>Tokens: what one is, which are refused, and refusing more of them.</summary>
internal sealed class TokenRoutes(TokenExplainer explainer, TokenRevocation revocation, RevokedTokens revoked, IAuditTrail audit)
{
    private const long MaxLifetimeSeconds = 10L * 366 * 24 * 3600;

    public void Map(IEndpointRouteBuilder routes)
    {
        routes.MapPost("/manage/v1/tokens/explain", ExplainAsync).Requires(Rights.RegistryRead)
            .Describe("Says what a token is, whose, which key signed it, and for each thing it could open whether it does. Never a key or a usable token.", HttpJson.Wire.TokenRequestJson, HttpJson.Wire.TokenExplanation);
        routes.MapGet("/manage/v1/tokens/revoked", ListAsync).Requires(Rights.RegistryRead)
            .Describe("Lists revoked tokens by fingerprint, and identities whose tokens were reset.", answer: HttpJson.Wire.RevokedJson);
        routes.MapPost("/manage/v1/tokens/revoke", RevokeAsync).Requires(Rights.RegistryWrite)
            .Describe("Revokes a token, given itself or by its fingerprint; of a policy's token access-manage is needed too.", HttpJson.Wire.TokenRequestJson, HttpJson.Wire.RevokedTokenJson);
        foreach (var identity in new[] { "devices/{id}", "devices/{id}/modules/{moduleId}" })
        {
            routes.MapGet($"/manage/v1/{identity}/tokens/reset", PreviewAsync).Requires(Rights.RegistryRead)
                .Describe("Says whom a reset of the identity's tokens would cut off: lifetime in seconds, default the hub's maximum.", answer: HttpJson.Wire.TokenResetJson);
            routes.MapPost($"/manage/v1/{identity}/tokens/reset", ResetAsync).Requires(Rights.RegistryWrite)
                .Describe("Refuses every token of the identity that was seen, and every one of its own keys that ends until now + lifetime.", answer: HttpJson.Wire.TokenResetJson);
        }
    }

    private async Task ExplainAsync(HttpContext context)
    {
        var token = await ReadAsync(context);
        var explanation = explainer.Explain(token);
        await audit.RequireAsync(context.Actor().Done("token explain", $"{explanation.Subject} {explanation.Fingerprint ?? "malformed"}".TrimStart()), context.RequestAborted);
        await context.WriteJsonAsync(explanation, HttpJson.Wire.TokenExplanation);
    }

    private async Task ListAsync(HttpContext context)
    {
        var resets = revoked.Resets.Select(reset => new ResetJson(reset.DeviceId, reset.ModuleId, reset.RefusedUntil.UtcDateTime, reset.ResetTime.UtcDateTime));
        await context.WriteJsonAsync(new RevokedJson([.. revoked.Tokens.Select(RevokedTokenJson.Of)], [.. resets]), HttpJson.Wire.RevokedJson);
    }

    private async Task RevokeAsync(HttpContext context)
    {
        var token = await ReadAsync(context);
        var record = await revocation.RevokeAsync(context.Actor(), token, context.RequestAborted);
        await context.WriteJsonAsync(RevokedTokenJson.Of(record), HttpJson.Wire.RevokedTokenJson);
    }

    private Task PreviewAsync(HttpContext context) =>
        context.WriteJsonAsync(TokenResetJson.Of(revocation.Preview(context.RouteIdentity(), LifetimeOf(context))), HttpJson.Wire.TokenResetJson);

    private async Task ResetAsync(HttpContext context)
    {
        var reset = await revocation.ResetAsync(context.Actor(), context.RouteIdentity(), LifetimeOf(context), context.RequestAborted);
        await context.WriteJsonAsync(TokenResetJson.Of(reset), HttpJson.Wire.TokenResetJson);
    }

    private static async ValueTask<string> ReadAsync(HttpContext context) =>
        (await context.ReadJsonAsync(HttpJson.Wire.TokenRequestJson)).Token is { Length: > 0 } token
            ? token
            : throw new HubException(HubErrors.ArgumentInvalid, "token: is missing");

    private static TimeSpan? LifetimeOf(HttpContext context)
    {
        if (!context.Request.Query.TryGetValue("lifetime", out var text))
            return null;

        return long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var seconds) && seconds is > 0 and <= MaxLifetimeSeconds
            ? TimeSpan.FromSeconds(seconds)
            : throw new HubException(HubErrors.ArgumentInvalid, $"lifetime: 1 to {MaxLifetimeSeconds} seconds");
    }
}

/// <summary>May hold a token: never printed.</summary>
internal sealed class TokenRequestJson
{
    /// <summary>A token; where one is revoked, a fingerprint too.</summary>
    public string? Token { get; init; }
}

/// <param name="AcceptedUntil">When it would have ended; null when that is not known: refused for good.</param>
internal sealed record RevokedTokenJson(string Fingerprint, string Subject, DateTime? AcceptedUntil, DateTime RevokedTime)
{
    public static RevokedTokenJson Of(RevokedTokenRecord record) =>
        new(record.Fingerprint, record.Subject, record.AcceptedUntil?.UtcDateTime, record.RevokedTime.UtcDateTime);
}

internal sealed record ResetJson(string DeviceId, string? ModuleId, DateTime RefusedUntil, DateTime ResetTime);

internal sealed record RevokedJson(List<RevokedTokenJson> Tokens, List<ResetJson> Resets);

/// <param name="RefusedUntil">Tokens of the identity's own keys that end until then are refused, also those made later.</param>
/// <param name="Fingerprints">Tokens that were seen and end later; they are revoked.</param>
/// <param name="Disconnects">Whether a live session ends.</param>
internal sealed record TokenResetJson(DateTime RefusedUntil, List<string> Fingerprints, bool Disconnects)
{
    public static TokenResetJson Of(TokenReset reset) => new(reset.RefusedUntil.UtcDateTime, [.. reset.Fingerprints], reset.Connected);
}
