using System.Text.Json.Serialization;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sallyport.Hub.Access;
using Sallyport.Hub.Moving;
using Sallyport.Protocol.Errors;
using Sallyport.Storage.Metadata;

namespace Sallyport.Heads.Http;

/// <summary>Azure IoT Hub's REST of import and export jobs. What opens the containers is taken and never shown.</summary>
internal sealed class RegistryJobRoutes(RegistryJobs jobs)
{
    public void Map(IEndpointRouteBuilder routes)
    {
        routes.MapPost("/jobs/create", CreateAsync).Requires(Rights.RegistryRead)
            .Describe("Begins to import identities from a blob container, or to export them to one.", HttpJson.Wire.RegistryJobRequestJson, HttpJson.Wire.RegistryJobPropertiesJson);
        routes.MapGet("/jobs", List).Requires(Rights.RegistryRead)
            .Describe("Lists import and export jobs, the newest first.", answer: HttpJson.Wire.ListRegistryJobPropertiesJson);
        routes.MapGet("/jobs/{jobId}", Get).Requires(Rights.RegistryRead)
            .Describe("Shows an import or export job.", answer: HttpJson.Wire.RegistryJobPropertiesJson);
        routes.MapDelete("/jobs/{jobId}", CancelAsync).Requires(Rights.RegistryRead)
            .Describe("Cancels an import or export job; what it has done stays.");
    }

    private async Task CreateAsync(HttpContext context)
    {
        var request = (await context.ReadJsonAsync(HttpJson.Wire.RegistryJobRequestJson)).ToRequest();
        await context.WriteJsonAsync(RegistryJobPropertiesJson.Of(await jobs.CreateAsync(context.Actor(), request, context.RequestAborted)), HttpJson.Wire.RegistryJobPropertiesJson);
    }

    private Task List(HttpContext context) =>
        context.WriteJsonAsync([.. jobs.List().Select(RegistryJobPropertiesJson.Of)], HttpJson.Wire.ListRegistryJobPropertiesJson);

    private Task Get(HttpContext context) =>
        context.WriteJsonAsync(RegistryJobPropertiesJson.Of(jobs.Get(context.RouteId("jobId")!)), HttpJson.Wire.RegistryJobPropertiesJson);

    private async Task CancelAsync(HttpContext context)
    {
        await jobs.CancelAsync(context.Actor(), context.RouteId("jobId")!, context.RequestAborted);
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }
}

/// <summary>What is asked of a job; what the hub says of one by itself is passed over. Holds signatures: never printed.</summary>
internal sealed class RegistryJobRequestJson
{
    public string? Type { get; init; }
    public string? InputBlobContainerUri { get; init; }
    public string? InputBlobName { get; init; }
    public string? OutputBlobContainerUri { get; init; }
    public string? OutputBlobName { get; init; }
    public bool? ExcludeKeysInExport { get; init; }
    public string? StorageAuthenticationType { get; init; }
    public bool? IncludeConfigurations { get; init; }
    public string? ConfigurationsBlobName { get; init; }

    /// <exception cref="HubException">400.</exception>
    public RegistryJobRequest ToRequest()
    {
        var kind = Type?.ToUpperInvariant() switch
        {
            "EXPORT" => RegistryJobKind.Export,
            "IMPORT" => RegistryJobKind.Import,
            _ => throw Invalid("type: export or import"),
        };
        if (StorageAuthenticationType is { } by && !by.Equals("keyBased", StringComparison.OrdinalIgnoreCase))
            throw Invalid("storageAuthenticationType: keyBased; this hub has no identity of its own at the account, so the address holds a signature (SAS)");

        var isImport = kind is RegistryJobKind.Import;
        var input = isImport ? Address("inputBlobContainerUri", InputBlobContainerUri) : null;
        var output = Address("outputBlobContainerUri", string.IsNullOrEmpty(OutputBlobContainerUri) && isImport ? InputBlobContainerUri : OutputBlobContainerUri);
        return new RegistryJobRequest(kind, input, output, new RegistryJobSettings
        {
            InputContainer = input is null ? null : Plain(input),
            OutputContainer = Plain(output),
            InputBlob = isImport ? NullIfEmpty(InputBlobName) ?? RegistryJobSettings.DevicesBlob : null,
            OutputBlob = isImport ? null : NullIfEmpty(OutputBlobName) ?? RegistryJobSettings.DevicesBlob,
            ExcludeKeys = !isImport && ExcludeKeysInExport is true,
            IncludeConfigurations = IncludeConfigurations is true,
            ConfigurationsBlobName = NullIfEmpty(ConfigurationsBlobName),
        });
    }

    public override string ToString() => nameof(RegistryJobRequestJson);

    private static Uri Address(string field, string? text) =>
        Uri.TryCreate(text, UriKind.Absolute, out var address) ? address : throw Invalid($"{field}: the https address of a container, with its signature (SAS)");

    private static string Plain(Uri address) => address.GetComponents(UriComponents.SchemeAndServer | UriComponents.Path, UriFormat.UriEscaped);

    private static string? NullIfEmpty(string? text) => string.IsNullOrEmpty(text) ? null : text;

    private static HubException Invalid(string why) => new(HubErrors.ArgumentInvalid, why);
}

/// <summary>A job as IoT Hub shows it, but for the containers' signatures.</summary>
internal sealed class RegistryJobPropertiesJson
{
    public required string JobId { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public DateTime? StartTimeUtc { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public DateTime? EndTimeUtc { get; init; }

    public required string Type { get; init; }
    public required string Status { get; init; }
    public int Progress { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? InputBlobContainerUri { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? InputBlobName { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? OutputBlobContainerUri { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? OutputBlobName { get; init; }

    public bool ExcludeKeysInExport { get; init; }
    public string StorageAuthenticationType { get; init; } = "keyBased";
    public bool IncludeConfigurations { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? ConfigurationsBlobName { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? FailureReason { get; init; }

    public static RegistryJobPropertiesJson Of(RegistryJobRecord job)
    {
        var settings = RegistryJobSettings.Of(job);
        return new RegistryJobPropertiesJson
        {
            JobId = job.Id,
            StartTimeUtc = (job.StartedTime ?? job.CreatedTime).UtcDateTime,
            EndTimeUtc = job.EndedTime?.UtcDateTime,
            Type = job.Kind is RegistryJobKind.Import ? "import" : "export",
            Status = job.Status.ToString().ToLowerInvariant(),
            Progress = job.Progress,
            InputBlobContainerUri = settings.InputContainer,
            InputBlobName = settings.InputBlob,
            OutputBlobContainerUri = settings.OutputContainer,
            OutputBlobName = settings.OutputBlob,
            ExcludeKeysInExport = settings.ExcludeKeys,
            IncludeConfigurations = settings.IncludeConfigurations,
            ConfigurationsBlobName = settings.ConfigurationsBlobName,
            FailureReason = job.Failure,
        };
    }
}
