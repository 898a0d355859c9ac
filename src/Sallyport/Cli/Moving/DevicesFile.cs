using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Sallyport.Cli.Moving;

/// <summary>
/// <c>devices.txt</c> as IoT Hub's export and import jobs write and read it: one identity a line, as JSON, with its keys and its twin.
/// </summary>
internal static class DevicesFile
{
    /// <summary>More than any identity with its twin has; a longer line is none.</summary>
    public const int MaxLineLength = 512 * 1024;

    /// <summary>The fields of a line that IoT Hub's bulk request takes as they are.</summary>
    private static readonly string[] Taken = ["id", "moduleId", "importMode", "status", "statusReason", "authentication", "capabilities", "managedBy", "tags", "properties"];

    /// <summary>The lines that hold something, with their numbers from 1; <c>Problem</c> says what is wrong with one.</summary>
    /// <exception cref="FailedException">The file cannot be read.</exception>
    public static IEnumerable<(int Line, JsonObject? Item, string? Problem)> Read(string path)
    {
        StreamReader reader;
        try
        {
            reader = new StreamReader(path, new UTF8Encoding(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new FailedException($"{path} cannot be read: {e.Message}", e);
        }

        using (reader)
        {
            for (var line = 1; ReadLine(reader, path, line) is { } text; line++)
            {
                if (!string.IsNullOrWhiteSpace(text))
                    yield return Parse(line, text);
            }
        }
    }

    /// <summary>An item for the bulk request: what there is of the other hub's own (ETags, times, the device's reported properties) is left out.</summary>
    public static JsonObject ToBulkItem(JsonObject line)
    {
        var item = new JsonObject();
        foreach (var name in Taken)
        {
            if (line[name] is { } value)
                item[name] = value.DeepClone();
        }

        item["importMode"] ??= "createOrUpdate";
        if (item["properties"] is JsonObject properties)
            properties.Remove("reported");
        return item;
    }

    /// <summary>The line of an identity.</summary>
    /// <param name="identity">As the registry shows it.</param>
    /// <param name="twin">As a service sees it; null when there is none to be had.</param>
    public static JsonObject ToLine(JsonObject identity, JsonObject? twin)
    {
        var line = new JsonObject { ["id"] = identity["deviceId"]?.DeepClone() };
        if (identity["moduleId"] is { } module)
            line["moduleId"] = module.DeepClone();
        line["eTag"] = identity["etag"]?.DeepClone();
        foreach (var name in (string[])["status", "statusReason", "authentication", "capabilities", "deviceScope", "parentScopes", "managedBy"])
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

    private static string? ReadLine(StreamReader reader, string path, int line)
    {
        try
        {
            return reader.ReadLine();
        }
        catch (Exception e) when (e is IOException or DecoderFallbackException)
        {
            throw new FailedException($"{path} cannot be read beyond line {line}: {(e is IOException ? e.Message : "it is not UTF-8")}", e);
        }
    }

    private static (int, JsonObject?, string?) Parse(int line, string text)
    {
        if (text.Length > MaxLineLength)
            return (line, null, $"line {line} is longer than {MaxLineLength} characters");
        try
        {
            if (JsonNode.Parse(text, documentOptions: new JsonDocumentOptions { AllowDuplicateProperties = false }) is not JsonObject item)
                return (line, null, $"line {line} is no JSON object");
            return item["id"] is JsonValue id && id.TryGetValue<string>(out _) && item["moduleId"] is null or JsonValue
                ? (line, item, null)
                : (line, null, $"line {line} has no id that is a text");
        }
        catch (JsonException e)
        {
            return (line, null, $"line {line} is not JSON: byte {e.BytePositionInLine + 1 ?? 1}");
        }
    }
}
