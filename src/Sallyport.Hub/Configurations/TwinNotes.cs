using System.Text.Json;
using Sallyport.Hub.Twins;

namespace Sallyport.Hub.Configurations;

/// <summary>
/// What is stored with a twin of its configurations (<c>docs/formats/metadata.md</c>): what it shows of them, and which of its desired properties they have set. Immutable.
/// </summary>
/// <param name="Paths">Set by configurations.</param>
/// <param name="EdgePaths">Of a module: set by deployments.</param>
/// <param name="Deployments">Of an edge device: which deployments are in force; null for none.</param>
internal sealed record TwinNotes(IReadOnlyList<string> Paths, IReadOnlyList<string> EdgePaths, string? Deployments)
{
    // Names of twins have no dollar sign.
    private const char OfEdge = '$';

    public static readonly TwinNotes Nothing = new([], [], null);

    public static TwinNotes Read(byte[]? configured, bool isOfModule)
    {
        if (configured is null)
            return Nothing;

        var texts = JsonSerializer.Deserialize(configured, NotesJson.Default.StringArray)!;
        string[] marked = [.. texts.Where(text => text is [OfEdge, ..]).Select(text => text[1..])], paths = [.. texts.Where(text => text is not [OfEdge, ..])];
        return isOfModule ? new TwinNotes(paths, marked, null) : new TwinNotes(paths, [], marked.FirstOrDefault());
    }

    /// <summary>Null when there is nothing to note.</summary>
    public byte[]? Encode()
    {
        string[] texts = [.. Deployments is null ? [] : (string[])[OfEdge + Deployments], .. EdgePaths.Select(path => OfEdge + path), .. Paths];
        return texts.Length == 0 ? null : JsonSerializer.SerializeToUtf8Bytes(texts, NotesJson.Default.StringArray);
    }

    /// <summary>What a twin shows: by id, in their order. Null when there is nothing.</summary>
    public static byte[]? Show(IReadOnlyList<ConfigurationStatus> statuses) => statuses.Count == 0 ? null : TwinJson.Write(64 * statuses.Count, json =>
    {
        json.WriteStartObject();
        foreach (var (id, isApplied, problem) in statuses.OrderBy(status => status.Id, StringComparer.Ordinal))
        {
            json.WriteStartObject(id);
            json.WriteString("status"u8, isApplied ? "Applied" : "Targeted");
            if (problem is not null)
                json.WriteString("error"u8, problem);
            json.WriteEndObject();
        }

        json.WriteEndObject();
    });

    /// <param name="shown">What <see cref="Show"/> made; empty for nothing.</param>
    public static bool Shows(ReadOnlySpan<byte> shown, string id) => StatusOf(shown, id) is not null;

    /// <summary>What a twin shows of each configuration.</summary>
    public static IEnumerable<(string Id, bool IsApplied)> StatusesOf(byte[] shown)
    {
        using var document = JsonDocument.Parse(shown);
        foreach (var member in document.RootElement.EnumerateObject())
            yield return (member.Name, member.Value.GetProperty("status").ValueEquals("Applied"u8));
    }

    private static string? StatusOf(ReadOnlySpan<byte> shown, string id)
    {
        if (shown.IsEmpty)
            return null;

        var reader = new Utf8JsonReader(shown);
        reader.Read();
        while (reader.Read() && reader.TokenType is JsonTokenType.PropertyName)
        {
            if (reader.ValueTextEquals(id))
                return id;
            reader.Skip();
        }

        return null;
    }
}

[System.Text.Json.Serialization.JsonSerializable(typeof(string[]))]
internal sealed partial class NotesJson : System.Text.Json.Serialization.JsonSerializerContext;
