using System.Buffers;
using System.Text.Json;
using Sallyport.Hub.Twins;
using Sallyport.Protocol.Errors;

namespace Sallyport.Hub.Configurations;

/// <summary>
/// What somebody wants a configuration to be. What is left out, or null, stays as it is; what is the hub's (system metrics, results, times, <c>etag</c>) is passed over: SDKs
/// send a configuration back as they read it. Immutable.
/// </summary>
public sealed record ConfigurationDraft
{
    private const string IdPunctuation = "-:+%_#*?!(),=@;'";

    private ConfigurationDraft()
    {
    }

    internal string? Id { get; private init; }

    internal string? SchemaVersion { get; private init; }

    /// <summary>UTF-8 JSON.</summary>
    internal byte[]? Labels { get; private init; }

    internal ConfigurationContent? Content { get; private init; }

    internal string? TargetCondition { get; private init; }

    internal int? Priority { get; private init; }

    /// <summary>UTF-8 JSON.</summary>
    internal byte[]? MetricQueries { get; private init; }

    /// <summary>IoT Hub's rule: 1 to 128 lower-case letters, digits and <c>- : + % _ # * ? ! ( ) , = @ ; '</c>.</summary>
    public static bool IsValidId(string? id) =>
        id is { Length: > 0 and <= 128 } && id.All(c => char.IsAsciiLetterLower(c) || char.IsAsciiDigit(c) || IdPunctuation.Contains(c, StringComparison.Ordinal));

    /// <exception cref="HubException">400: it is not JSON, no configuration, or against a rule; says where.</exception>
    public static ConfigurationDraft Read(ReadOnlyMemory<byte> json)
    {
        using var document = ParseBody(json, "a configuration");
        return WithWholeTexts(() => Read(document.RootElement));
    }

    /// <summary>Reads the content that is to be set on one device, as <c>applyConfigurationContent</c> has it: bare.</summary>
    /// <inheritdoc cref="Read(ReadOnlyMemory{byte})" path="/exception"/>
    internal static ConfigurationContent ReadContent(ReadOnlyMemory<byte> json)
    {
        using var document = ParseBody(json, "a configuration's content");
        return WithWholeTexts(() => ConfigurationContent.Read(document.RootElement));
    }

    /// <exception cref="HubException">400: a name or a text has half of a surrogate pair, escaped.</exception>
    internal static T WithWholeTexts<T>(Func<T> read)
    {
        try
        {
            return read();
        }
        catch (InvalidOperationException)
        {
            throw HalfAText();
        }
    }

    private static HubException HalfAText() => new(HubErrors.FormatError, "the body has a text with half a surrogate pair");

    private static ConfigurationDraft Read(JsonElement root) => new()
    {
        Id = Text(root, "id"),
        SchemaVersion = Text(root, "schemaVersion", ConfigurationOptions.MaxNameLength),
        Labels = Member(root, "labels") is { } labels ? Texts(labels, "labels", ConfigurationOptions.MaxLabels, ConfigurationOptions.MaxNameLength) : null,
        Content = Member(root, "content") is { } content ? ConfigurationContent.Read(content) : null,
        TargetCondition = Text(root, "targetCondition"),
        Priority = PriorityOf(root),
        MetricQueries = MetricsOf(root),
    };

    /// <exception cref="HubException">400.</exception>
    internal static JsonDocument ParseBody(ReadOnlyMemory<byte> json, string what)
    {
        if (!System.Text.Unicode.Utf8.IsValid(json.Span))
            throw new HubException(HubErrors.FormatError, "the body is not valid UTF-8");

        JsonDocument document;
        try
        {
            document = JsonDocument.Parse(json, new JsonDocumentOptions { AllowDuplicateProperties = false });
        }
        catch (JsonException e)
        {
            throw new HubException(HubErrors.FormatError, $"the body is not the JSON of {what}: line {e.LineNumber + 1 ?? 1}, byte {e.BytePositionInLine + 1 ?? 1}");
        }
        catch (InvalidOperationException)
        {
            throw HalfAText();
        }

        if (document.RootElement.ValueKind is JsonValueKind.Object)
            return document;
        document.Dispose();
        throw new HubException(HubErrors.ArgumentInvalid, "the body: an object is needed");
    }

    /// <summary>Null when it is not there, or null.</summary>
    internal static JsonElement? Member(JsonElement from, string name) =>
        from.TryGetProperty(name, out var value) && value.ValueKind is not JsonValueKind.Null ? value : null;

    private static string? Text(JsonElement from, string name, int maxLength = int.MaxValue)
    {
        if (Member(from, name) is not { } value)
            return null;
        if (TextOf(value) is not { } text)
            throw Wrong(name, "a text is needed");
        return text.Length <= maxLength ? text : throw Wrong(name, $"at most {maxLength} characters");
    }

    private static string? TextOf(JsonElement value) => value.ValueKind is JsonValueKind.String ? value.GetString() : null;

    private static int? PriorityOf(JsonElement root) =>
        Member(root, "priority") is not { } value ? null
        : value.ValueKind is JsonValueKind.Number && value.TryGetInt32(out var priority) && priority >= 0 ? priority
        : throw Wrong("priority", "a whole number from 0 to 2147483647 is needed");

    private static byte[]? MetricsOf(JsonElement root)
    {
        if (Member(root, "metrics") is not { } metrics)
            return null;
        if (metrics.ValueKind is not JsonValueKind.Object)
            throw Wrong("metrics", "an object is needed");
        if (Member(metrics, "queries") is not { } queries)
            return null;

        var json = Texts(queries, "metrics.queries", ConfigurationOptions.MaxMetrics, int.MaxValue);
        foreach (var query in queries.EnumerateObject())
            Configurations.TargetCondition.ReadMetric($"metrics.queries.{query.Name}", query.Value.GetString()!);
        return json;
    }

    /// <summary>Names and texts, as they are stored.</summary>
    private static byte[] Texts(JsonElement given, string at, int max, int maxLength)
    {
        if (given.ValueKind is not JsonValueKind.Object)
            throw Wrong(at, "an object is needed");

        var count = 0;
        foreach (var member in given.EnumerateObject())
        {
            if (++count > max)
                throw Wrong(at, $"more than {max}");
            if (member.Name.Length is 0 or > ConfigurationOptions.MaxNameLength || member.Name.Any(char.IsControl))
                throw Wrong(at, $"a name has 1 to {ConfigurationOptions.MaxNameLength} characters, and no control characters");
            if (TextOf(member.Value) is not { } text || text.Length > maxLength)
                throw Wrong($"{at}.{member.Name}", maxLength == int.MaxValue ? "a text is needed" : $"a text of at most {maxLength} characters is needed");
        }

        var json = new ArrayBufferWriter<byte>(256);
        using (var writer = new Utf8JsonWriter(json, TwinJson.Options))
            given.WriteTo(writer);
        return json.WrittenSpan.ToArray();
    }

    private static HubException Wrong(string at, string what) => new(HubErrors.ArgumentInvalid, $"{at}: {what}");
}
