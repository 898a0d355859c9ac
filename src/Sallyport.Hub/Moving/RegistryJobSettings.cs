using System.Text.Json;
using System.Text.Json.Serialization;
using Sallyport.Hub.Access;
using Sallyport.Hub.Audit;
using Sallyport.Protocol.Errors;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Moving;

/// <summary>What an import or export job is asked to do, without what opens the containers. Immutable; stored as JSON.</summary>
public sealed record RegistryJobSettings
{
    public const string DevicesBlob = "devices.txt";
    public const string ConfigurationsBlob = "configurations.txt";

    /// <summary>Where an import says what it could not do. IoT Hub's name.</summary>
    public const string ErrorsBlob = "importErrors.log";

    /// <summary>Without its signature; null for an export.</summary>
    public string? InputContainer { get; init; }

    /// <summary>Without its signature.</summary>
    public string? OutputContainer { get; init; }

    public string? InputBlob { get; init; }
    public string? OutputBlob { get; init; }
    public bool ExcludeKeys { get; init; }
    public bool IncludeConfigurations { get; init; }
    public string? ConfigurationsBlobName { get; init; }

    public static RegistryJobSettings Of(RegistryJobRecord record) => JsonSerializer.Deserialize(record.Settings, RegistryJobJson.Default.RegistryJobSettings)!;

    public string ToJson() => JsonSerializer.Serialize(this, RegistryJobJson.Default.RegistryJobSettings);
}

/// <summary>A job as a request asks for it. Holds signatures: never printed.</summary>
/// <param name="Input">The container that an import reads, with its signature.</param>
/// <param name="Output">The container that an export writes, or an import its errors, with its signature.</param>
public sealed record RegistryJobRequest(RegistryJobKind Kind, Uri? Input, Uri Output, RegistryJobSettings Settings)
{
    public override string ToString() => $"{Kind}";
}

/// <summary>What a running job needs to open its containers. Never printed.</summary>
internal sealed record RegistryJobSecret(string? Input, string Output)
{
    public static RegistryJobSecret Of(RegistryJobRecord record) => JsonSerializer.Deserialize(record.Secret!, RegistryJobJson.Default.RegistryJobSecret)!;

    public string ToJson() => JsonSerializer.Serialize(this, RegistryJobJson.Default.RegistryJobSecret);

    public override string ToString() => nameof(RegistryJobSecret);
}

/// <summary>Why a line could not be imported, as IoT Hub writes it into <c>importErrors.log</c>.</summary>
internal sealed record ImportErrorJson(
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? DeviceId,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? ModuleId,
    int ErrorCode,
    string ErrorStatus)
{
    /// <summary>IoT Hub's code for a line that is none.</summary>
    public const int BadFormat = 400012;

    public static string Of(string? deviceId, string? moduleId, HubException why) => Write(new ImportErrorJson(deviceId, moduleId, why.Error.Code, why.Message));

    public static string Of(string problem) => Write(new ImportErrorJson(null, null, BadFormat, problem));

    private static string Write(ImportErrorJson error) => JsonSerializer.Serialize(error, RegistryJobJson.Default.ImportErrorJson);
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
[JsonSerializable(typeof(RegistryJobSettings))]
[JsonSerializable(typeof(RegistryJobSecret))]
[JsonSerializable(typeof(ImportErrorJson))]
internal sealed partial class RegistryJobJson : JsonSerializerContext;

/// <summary>Who a job acts as: its creator, with the rights held when it was made and held now.</summary>
internal sealed class RegistryJobCreator(Policies policies, RegistryJobRecord job)
{
    /// <param name="needed">All of these.</param>
    /// <exception cref="HubException">401: the creator holds one of them no more.</exception>
    public Actor Require(Rights needed)
    {
        var held = policies.HeldBy(job.Creator);
        var rights = held.Rights & (Rights)job.CreatorRights;
        if ((needed & ~rights) is not Rights.None and var missing)
            throw new HubException(HubErrors.UnauthorizedAccess, $"{job.Creator}, who made the job, does not hold {RightsText.Format(missing)} any more");
        if (held.Scope.LimitsDevices)
            throw new HubException(HubErrors.UnauthorizedAccess, $"{job.Creator}, who made the job, is limited to some devices now");
        return new Actor(job.Creator, "", rights, job.Id, "job");
    }
}
