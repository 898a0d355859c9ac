using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Sallyport.Protocol.Identities;

namespace Sallyport.Hub.Moving;

/// <summary>
/// A line of <c>devices.txt</c> as IoT Hub's export and import jobs write and read it: one identity, as JSON, with its keys and its twin. Lines hold
/// keys: never printed.
/// </summary>
public static class DevicesLine
{
    /// <summary>More than any identity with its twin has; a longer line is none.</summary>
    public const int MaxBytes = 512 * 1024;

    /// <summary>The fields of a line that a bulk request takes as they are.</summary>
    private static readonly string[] Taken = ["id", "moduleId", "importMode", "status", "statusReason", "authentication", "capabilities", "managedBy", "tags", "properties"];

    private static readonly string[] OfIdentity = ["status", "statusReason", "authentication", "capabilities", "deviceScope", "parentScopes", "managedBy"];

    private static readonly JsonDocumentOptions Strict = new() { AllowDuplicateProperties = false };

    /// <summary>Reads a line; null when it holds nothing.</summary>
    /// <param name="problem">What is wrong with it, without repeating it; null when nothing is.</param>
    public static JsonObject? Parse(BoundedLine line, out string? problem)
    {
        problem = null;
        if (line.IsTooLong)
        {
            problem = $"line {line.Number} is longer than {MaxBytes} bytes";
            return null;
        }

        var text = line.Text.Span.Trim(" \t\r"u8);
        if (line.Number == 1 && text.StartsWith("\uFEFF"u8))
            text = text[3..];
        if (text.IsEmpty)
            return null;

        try
        {
            if (!System.Text.Unicode.Utf8.IsValid(text))
                problem = $"line {line.Number} is not UTF-8";
            else if (JsonNode.Parse(text, documentOptions: Strict) is not JsonObject item)
                problem = $"line {line.Number} is no JSON object";
            else if (item["id"] is not JsonValue id || !id.TryGetValue<string>(out _) || item["moduleId"] is not (null or JsonValue))
                problem = $"line {line.Number} has no id that is a text";
            else
                return item;
        }
        catch (JsonException e)
        {
            problem = $"line {line.Number} is not JSON: byte {e.BytePositionInLine + 1 ?? 1}";
        }

        return null;
    }

    /// <summary>An item for a bulk request: what there is of the other hub's own (times, the device's reported properties) is left out.</summary>
    /// <param name="withETags">ETags stay, for a mode that asks for one.</param>
    public static JsonObject ToBulkItem(JsonObject line, bool withETags = false)
    {
        var item = new JsonObject();
        foreach (var name in Taken)
        {
            if (line[name] is { } value)
                item[name] = value.DeepClone();
        }

        // Of an export without keys: a new identity gets new ones, and what is there keeps its own.
        if (item["authentication"] is JsonObject authentication && TextOf(authentication["type"]) is null or "sas" && !HasKeys(authentication["symmetricKey"]))
            item.Remove("authentication");

        item["importMode"] ??= "createOrUpdate";
        if (item["properties"] is JsonObject properties)
            properties.Remove("reported");
        foreach (var name in withETags ? (string[])["eTag", "etag", "twinETag"] : [])
        {
            if (line[name] is { } tag)
                item[name == "etag" ? "eTag" : name] = tag.DeepClone();
        }

        return item;
    }

    /// <summary>The line of an identity.</summary>
    /// <param name="identity">As the registry shows it.</param>
    /// <param name="twin">As a service sees it; null when there is none to be had.</param>
    public static JsonObject Of(JsonObject identity, JsonObject? twin)
    {
        var line = new JsonObject { ["id"] = identity["deviceId"]?.DeepClone() };
        if (identity["moduleId"] is { } module)
            line["moduleId"] = module.DeepClone();
        line["eTag"] = identity["etag"]?.DeepClone();
        foreach (var name in OfIdentity)
        {
            if (identity[name] is { } value)
                line[name] = value.DeepClone();
        }

        if (twin is not null)
        {
            line["twinETag"] = twin["etag"]?.DeepClone();
            line["tags"] = twin["tags"]?.DeepClone() ?? new JsonObject();
            line["properties"] = twin["properties"]?.DeepClone();
        }

        return line;
    }

    /// <summary>The edge device that the line's is below, by its id: a scope is that of an edge device itself, or that of its parent; <c>parentScopes</c> is always the parent's. Null when it names none.</summary>
    /// <param name="wording">A scope of somebody's own wording; null when it is none.</param>
    public static string? ParentOf(JsonObject line, out string? wording)
    {
        wording = null;
        var isEdge = line["capabilities"] is JsonObject capabilities && capabilities["iotEdge"]?.GetValueKind() is JsonValueKind.True;
        var scope = line["parentScopes"] is JsonArray { Count: > 0 } scopes ? TextOf(scopes[0]) : isEdge ? null : TextOf(line["deviceScope"]);
        if (EdgeScope.TryReadDevice(scope, out var parent))
            return parent;

        wording = string.IsNullOrEmpty(scope) ? null : scope;
        return null;
    }

    /// <summary>The line as it stands in the file, with its end.</summary>
    public static byte[] Encode(JsonObject line) => Encoding.UTF8.GetBytes(line.ToJsonString() + "\r\n");

    private static bool HasKeys(JsonNode? keys) => keys is JsonObject pair && pair.Any(key => !string.IsNullOrEmpty(TextOf(key.Value)));

    private static string? TextOf(JsonNode? node) => node is JsonValue value && value.TryGetValue<string>(out var text) ? text : null;
}
