using System.Runtime.InteropServices;
using System.Text.Json;
using Sallyport.Hub.Access;
using Sallyport.Hub.Methods;
using Sallyport.Hub.Telemetry;
using Sallyport.Hub.Twins;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Queries;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Jobs;

/// <summary>A job as a request gives it. What is null was not given.</summary>
public sealed record JobRequest
{
    public string? JobId { get; init; }

    /// <summary><c>scheduleUpdateTwin</c> or <c>scheduleDeviceMethod</c>, in any case.</summary>
    public string? Type { get; init; }

    /// <summary>An object: a twin.</summary>
    public JsonElement? UpdateTwin { get; init; }

    /// <summary>An object: <c>methodName</c>, <c>payload</c>, <c>responseTimeoutInSeconds</c>.</summary>
    public JsonElement? CloudToDeviceMethod { get; init; }

    public string? QueryCondition { get; init; }

    /// <summary>ISO 8601; now when left out or past.</summary>
    public string? StartTime { get; init; }

    public long? MaxExecutionTimeInSeconds { get; init; }
}

/// <summary>A job that may be made: every rule about what it says was checked. Immutable.</summary>
/// <param name="Needed">The rights that its creator must hold, beside making jobs.</param>
/// <param name="Start">Null: now.</param>
/// <param name="Act">As it was given.</param>
public sealed record JobDraft(string JobId, JobType Type, Rights Needed, string QueryCondition, byte[] Act, DateTimeOffset? Start, TimeSpan MaxExecutionTime)
{
    public const int MaxIdLength = 64;

    /// <summary>IoT Hub's default: an hour.</summary>
    private const long DefaultSeconds = 3600;

    /// <summary>Checks what a request says.</summary>
    /// <param name="jobId">Of the path.</param>
    /// <exception cref="HubException">400, 413: something is missing or against a rule; names it, and of the condition says where and what was expected.</exception>
    public static JobDraft Of(string jobId, JobRequest request, DateTimeOffset now)
    {
        if (!IsId(jobId))
            throw Invalid($"jobId: 1 to {MaxIdLength} ASCII letters, digits and dashes, but not 'query'");
        if (request.JobId is { } named && named != jobId)
            throw Invalid("jobId: is not the one of the path");
        if (!Enum.TryParse<JobType>(request.Type, ignoreCase: true, out var type) || !Enum.GetNames<JobType>().Contains(request.Type, StringComparer.OrdinalIgnoreCase))
            throw Invalid("type: scheduleUpdateTwin or scheduleDeviceMethod");
        if (string.IsNullOrWhiteSpace(request.QueryCondition))
            throw new HubException(HubErrors.ArgumentNull, "queryCondition: is missing; '*' is for all devices");

        var act = ActOf(type, request);
        _ = type is JobType.ScheduleUpdateTwin ? (object)ReadChange(act) : ReadCall(act, Identity.Of("d"));
        var seconds = request.MaxExecutionTimeInSeconds ?? DefaultSeconds;
        if (seconds is < 1 or > JobOptions.MaxExecutionSeconds)
            throw Invalid($"maxExecutionTimeInSeconds: 1 to {JobOptions.MaxExecutionSeconds}");

        return new JobDraft(jobId, type, NeededFor(type, Target(request.QueryCondition)), request.QueryCondition, act, StartOf(request.StartTime, now), TimeSpan.FromSeconds(seconds));
    }

    /// <summary>Whom a job is for.</summary>
    /// <exception cref="HubException">400: says where in the condition, and what was expected.</exception>
    internal static Query Target(string condition)
    {
        try
        {
            return QueryParser.ParseTarget(condition);
        }
        catch (HubException wrong)
        {
            throw new HubException(wrong.Error, $"queryCondition: {wrong.Message}");
        }
    }

    /// <summary>What a job does to each twin.</summary>
    internal static TwinChange ReadChange(ReadOnlySpan<byte> act)
    {
        var change = TwinChange.Read(act, replaces: false);
        return change is { Tags: null, Desired: null } ? throw Invalid("updateTwin: neither tags nor properties.desired are given") : change;
    }

    /// <summary>What a job calls.</summary>
    internal static MethodCall ReadCall(ReadOnlySpan<byte> act, Identity identity)
    {
        var reader = new Utf8JsonReader(act);
        using var json = JsonDocument.ParseValue(ref reader);
        var call = new MethodCall(identity, Text(json.RootElement, "methodName") ?? throw new HubException(HubErrors.ArgumentNull, "cloudToDeviceMethod.methodName: is missing"), Payload(json.RootElement))
        {
            ResponseTimeout = Seconds(json.RootElement, "responseTimeoutInSeconds") ?? TimeSpan.FromSeconds(30),
            ConnectTimeout = Seconds(json.RootElement, "connectTimeoutInSeconds") ?? TimeSpan.Zero,
        };
        MethodRules.Check(call);

        // A job waits for devices as long as its window is, without a call.
        return call with { ConnectTimeout = TimeSpan.Zero };
    }

    /// <summary>What a job needs of its creator, beside making jobs: nobody learns by the counts of a job what they may not read.</summary>
    internal static Rights NeededFor(JobType type, Query target)
    {
        var act = type is JobType.ScheduleUpdateTwin ? Rights.TwinWrite : Rights.MethodInvoke;
        return target.Slots.All(path => path is { Part: QueryPart.Field, Names: ["deviceId" or "moduleId"] }) ? act : act | Rights.TwinRead;
    }

    private static byte[] ActOf(JobType type, JobRequest request)
    {
        var (name, given, other) = type is JobType.ScheduleUpdateTwin
            ? ("updateTwin", request.UpdateTwin, request.CloudToDeviceMethod)
            : ("cloudToDeviceMethod", request.CloudToDeviceMethod, request.UpdateTwin);
        if (given is not { ValueKind: JsonValueKind.Object } act)
            throw new HubException(HubErrors.ArgumentNull, $"{name}: an object is needed");
        if (other is { ValueKind: not JsonValueKind.Null })
            throw Invalid($"{name}: is what this type of job does; the other one must not be given");
        if (type is JobType.ScheduleUpdateTwin && Text(act, "etag") is { Length: > 0 } etag && etag.Trim('"') != "*")
            throw Invalid("updateTwin.etag: '*' or nothing; a job changes twins whatever their etag");

        return JsonMarshal.GetRawUtf8Value(act).ToArray();
    }

    private static DateTimeOffset? StartOf(string? text, DateTimeOffset now)
    {
        if (string.IsNullOrEmpty(text))
            return null;
        if (!IsoTime.TryParse(text, out var start))
            throw Invalid("startTime: a time such as 2026-01-02T03:04:05Z");
        if (start - now > JobOptions.MaxAhead)
            throw Invalid($"startTime: at most {JobOptions.MaxAhead.TotalDays:0} days from now");
        return start <= now ? null : start.ToUniversalTime();
    }

    // Names in any case, as everywhere in requests; doubled ones were refused when the body was read.
    private static JsonElement? Member(JsonElement of, string name)
    {
        foreach (var member in of.EnumerateObject())
        {
            if (member.Name.Equals(name, StringComparison.OrdinalIgnoreCase))
                return member.Value.ValueKind is JsonValueKind.Null ? null : member.Value;
        }

        return null;
    }

    private static string? Text(JsonElement of, string name) => Member(of, name) switch
    {
        null => null,
        { ValueKind: JsonValueKind.String } text => text.GetString(),
        _ => throw Invalid($"{name}: a text"),
    };

    private static TimeSpan? Seconds(JsonElement of, string name) => Member(of, name) switch
    {
        null => null,
        { ValueKind: JsonValueKind.Number } number when number.TryGetInt32(out var seconds) => TimeSpan.FromSeconds(seconds),
        _ => throw Invalid($"{name}: a whole number of seconds"),
    };

    private static byte[] Payload(JsonElement of) => Member(of, "payload") is { } payload ? JsonMarshal.GetRawUtf8Value(payload).ToArray() : "null"u8.ToArray();

    // GET /jobs/v2/query is the list.
    private static bool IsId(string id)
    {
        if (id.Length is 0 or > MaxIdLength || id.Equals("query", StringComparison.OrdinalIgnoreCase))
            return false;

        foreach (var c in id)
        {
            if (!char.IsAsciiLetterOrDigit(c) && c != '-')
                return false;
        }

        return true;
    }

    private static HubException Invalid(string message) => new(HubErrors.ArgumentInvalid, message);
}
