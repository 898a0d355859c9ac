using System.Text.Json;
using System.Text.RegularExpressions;
using Sallyport.Hub.Registry;
using Sallyport.Hub.Twins;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Configurations;

/// <summary>A configuration with what it has come to. Its JSON is IoT Hub's.</summary>
/// <param name="SystemResults">By the names of <see cref="SystemMetrics"/>.</param>
/// <param name="Results">Of its own metrics, those that were counted.</param>
/// <param name="Suspension">Why it neither reaches another twin nor leaves one; null when it does.</param>
public sealed record ConfigurationState(
    ConfigurationRecord Record, IReadOnlyDictionary<string, long> SystemResults, IReadOnlyDictionary<string, long> Results, string? Suspension)
{
    /// <summary>As IoT Hub's REST shows it.</summary>
    public static byte[] Encode(ConfigurationState state) => TwinJson.Write(1024, state.WriteTo);

    public static byte[] Encode(IReadOnlyList<ConfigurationState> states) => TwinJson.Write(1024 * (states.Count + 1), json =>
    {
        json.WriteStartArray();
        foreach (var state in states)
            state.WriteTo(json);
        json.WriteEndArray();
    });

    private void WriteTo(Utf8JsonWriter json)
    {
        json.WriteStartObject();
        json.WriteString("id", Record.Id);
        json.WriteString("schemaVersion", Record.SchemaVersion);
        Raw("labels", Record.Labels);
        Raw("content", Record.Content);
        json.WriteString("targetCondition", Record.TargetCondition);
        json.WriteString("createdTimeUtc", TwinJson.TimeOrNever(Record.CreatedTime));
        json.WriteString("lastUpdatedTimeUtc", TwinJson.TimeOrNever(Record.LastUpdatedTime));
        json.WriteNumber("priority", Record.Priority);
        json.WriteStartObject("systemMetrics");
        Results("results", SystemResults);
        json.WriteStartObject("queries");
        foreach (var (name, query) in SystemMetrics.QueriesOf(Record))
            json.WriteString(name, query);
        json.WriteEndObject();
        json.WriteEndObject();
        json.WriteStartObject("metrics");
        Results("results", this.Results);
        Raw("queries", Record.MetricQueries);
        json.WriteEndObject();
        json.WriteString("etag", EntityTag.Format(Record.ETag));
        if (Suspension is not null)
            json.WriteString("suspended", Suspension);
        json.WriteEndObject();

        void Raw(string name, byte[] value)
        {
            json.WritePropertyName(name);
            json.WriteRawValue(value, skipInputValidation: true);
        }

        void Results(string name, IReadOnlyDictionary<string, long> results)
        {
            json.WriteStartObject(name);
            foreach (var (metric, result) in results)
                json.WriteNumber(metric, result);
            json.WriteEndObject();
        }
    }
}

/// <summary>The metrics that the hub keeps of each configuration, by IoT Hub's names, and what they are queries of.</summary>
internal static partial class SystemMetrics
{
    public const string Targeted = "targetedCount";
    public const string Applied = "appliedCount";
    public const string Successful = "reportedSuccessfulCount";
    public const string Failed = "reportedFailedCount";

    /// <summary>The queries whose rows they count: an empty condition reaches nothing.</summary>
    public static IReadOnlyDictionary<string, string> QueriesOf(ConfigurationRecord record)
    {
        var kind = KindOf(record);
        var isApplied = $"configurations.[[{record.Id}]].status = 'Applied'";
        if (kind is not ContentKind.Edge)
        {
            var of = kind is ContentKind.Module ? "SELECT deviceId, moduleId FROM devices.modules" : "SELECT deviceId FROM devices";
            return new Dictionary<string, string> { [Targeted] = of + Where(record.TargetCondition), [Applied] = $"{of} WHERE {isApplied}" };
        }

        var ofAgents = $"SELECT deviceId FROM devices.modules WHERE moduleId = '{ConfigurationContent.EdgeAgent}' AND {isApplied}";
        var isReported = $"{ofAgents} AND properties.desired.$version = properties.reported.lastDesiredVersion AND properties.reported.lastDesiredStatus.code";
        var where = Where(record.TargetCondition);
        return new Dictionary<string, string>
        {
            [Targeted] = "SELECT deviceId FROM devices WHERE capabilities.iotEdge = true" + (where.Length == 0 ? "" : $" AND ({where[" WHERE ".Length..]})"),
            [Applied] = ofAgents,
            [Successful] = isReported + " = 200",
            [Failed] = isReported + " != 200",
        };
    }

    public static ContentKind KindOf(ConfigurationRecord record)
    {
        var reader = new Utf8JsonReader(record.Content);
        reader.Read();
        reader.Read();
        return reader.ValueTextEquals("modulesContent"u8) ? ContentKind.Edge : reader.ValueTextEquals("moduleContent"u8) ? ContentKind.Module : ContentKind.Device;
    }

    private static string Where(string condition)
    {
        if (string.IsNullOrWhiteSpace(condition))
            return " WHERE deviceId = ''";

        var text = Source().Replace(condition, "").Trim();
        return text is "" or "*" ? "" : $" WHERE {text}";
    }

    [GeneratedRegex(@"^\s*FROM\s+devices\s*(\.\s*modules)?\s*(\bWHERE\b)?", RegexOptions.IgnoreCase | RegexOptions.CultureInvariant)]
    private static partial Regex Source();
}
