using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sallyport.Hub.Access;
using Sallyport.Hub.Secrets;
using Sallyport.Storage.Secrets;

namespace Sallyport.Heads.Http;

/// <summary>The keys that seal secrets at rest: which there are, and a new one. No answer holds a key.</summary>
public sealed class SecretsRoutes(KeyRotation rotation, HeldKeys keys)
{
    public void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet("/manage/v1/secrets", ShowAsync).Requires(Rights.AccessManage)
            .Describe("The ids of the keys that seal secrets at rest, how many each seals, and how far a rotation is.", answer: HttpJson.Wire.SecretsJson);
        routes.MapGet("/manage/v1/secrets/rotation", ProgressAsync).Requires(Rights.AccessManage)
            .Describe("How far the rotation is that this hub ran last.", answer: HttpJson.Wire.RotationJson);
        routes.MapPost("/manage/v1/secrets/rotate", RotateAsync).Requires(Rights.AccessManage)
            .Describe("Begins to seal all secrets at rest with a new key, or goes on with a rotation that was not finished; goes on by itself.", answer: HttpJson.Wire.RotationJson);
    }

    private Task ShowAsync(HttpContext context) => context.WriteJsonAsync(
        new SecretsJson([.. rotation.Uses().Select(use => new SealingKeyJson(use.Id, use.IsNewest, use.Seals))], [.. keys.RetiredIds], keys.OldIds.Count == 0, RotationJson.Of(rotation.Progress)),
        HttpJson.Wire.SecretsJson);

    private Task ProgressAsync(HttpContext context) => context.WriteJsonAsync(RotationJson.Of(rotation.Progress), HttpJson.Wire.RotationJson);

    private async Task RotateAsync(HttpContext context) =>
        await context.WriteJsonAsync(RotationJson.Of(await rotation.StartAsync(context.Actor(), context.RequestAborted)), HttpJson.Wire.RotationJson);
}

/// <param name="Seals">How many stored secrets.</param>
internal sealed record SealingKeyJson(string Id, bool IsNewest, long Seals);

/// <param name="Keys">Of the key file, the newest first; then those that are not in it and seal something still.</param>
/// <param name="Retired">Taken out of the key file; what is kept of them checks the log and older files of the audit trail, and opens nothing.</param>
/// <param name="IsFinished">The key file holds one key.</param>
internal sealed record SecretsJson(IReadOnlyList<SealingKeyJson> Keys, IReadOnlyList<string> Retired, bool IsFinished, RotationJson Rotation);

/// <param name="State"><c>none</c> since the hub's start, <c>running</c>, <c>finished</c>, <c>failed</c>.</param>
/// <param name="Total">Secrets that older keys sealed when it began.</param>
/// <param name="Message">Why it failed, or what is left to do by hand.</param>
internal sealed record RotationJson(string State, long Resealed, long Total, DateTime? Started, string? Message)
{
    public static RotationJson Of(RotationProgress progress) =>
        new(progress.State.ToString().ToLowerInvariant(), progress.Resealed, progress.Total, progress.Started?.UtcDateTime, progress.Message);
}
