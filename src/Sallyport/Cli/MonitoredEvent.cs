using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Sallyport.Cli;

/// <summary>Which properties of an event are shown.</summary>
[Flags]
internal enum EventProperties
{
    None = 0,
    System = 1,
    Application = 2,
    Annotations = 4,
    All = System | Application | Annotations,
}

/// <summary>An event of the hub in the shape that <c>az iot hub monitor-events</c> prints, on one line.</summary>
internal static class MonitoredEvent
{
    private const int OriginWidth = 24;

    private static readonly JsonSerializerOptions OneLine = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, MaxDepth = Printing.Json.MaxDepth };

    public static string Header { get; } = Row("EnqueuedTime", "Origin", "Payload");

    /// <param name="line">As the hub says it.</param>
    public static string ToJson(JsonObject line, EventProperties show)
    {
        var annotations = line["annotations"] as JsonObject;
        var shown = new JsonObject
        {
            ["origin"] = Column.Text(line["deviceId"]) ?? "",
            ["module"] = Column.Text(line["moduleId"]) ?? "",
            ["interface"] = Column.Text(annotations?["dt-dataschema"]) ?? "",
            ["component"] = Column.Text(annotations?["dt-subject"]) ?? "",
        };
        var properties = new JsonObject();
        if (show.HasFlag(EventProperties.System) && line["systemProperties"] is JsonObject system)
            properties["system"] = new JsonObject(system.Select(pair => KeyValuePair.Create(pair.Key.Replace('-', '_'), pair.Value?.DeepClone())));
        if (show.HasFlag(EventProperties.Application))
            properties["application"] = line["properties"]?.DeepClone();
        if (properties.Count > 0)
            shown["properties"] = properties;
        if (show.HasFlag(EventProperties.Annotations))
            shown["annotations"] = annotations?.DeepClone();
        // Text that is text and text that stands for bytes look the same.
        if (Column.Text(line["bodyEncoding"]) == "base64")
            shown["payloadEncoding"] = "base64";
        shown["payload"] = line["body"]?.DeepClone();
        return new JsonObject { ["event"] = shown }.ToJsonString(OneLine);
    }

    /// <summary>One row: when, who, what.</summary>
    public static string ToRow(JsonObject line)
    {
        var origin = Column.Text(line["deviceId"]) ?? "";
        if (Column.Text(line["moduleId"]) is { } module)
            origin = $"{origin}/{module}";
        return Row(Column.Text(line["enqueuedTime"]) ?? "", origin, line["body"] is JsonValue text && text.TryGetValue<string>(out var payload) ? payload : line["body"]?.ToJsonString(OneLine) ?? "");
    }

    private static string Row(string time, string origin, string payload) =>
        Printing.Printable($"{time,-24}  {origin.PadRight(OriginWidth)}  {payload}");
}
