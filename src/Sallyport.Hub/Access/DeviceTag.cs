using System.Diagnostics.CodeAnalysis;
using System.Text;
using System.Text.Json;
using Sallyport.Protocol.Twins;

namespace Sallyport.Hub.Access;

/// <summary>
/// A tag that the twin of a device must have, and the value: <c>site=berlin</c>, or <c>location.site=berlin</c> for a tag inside another. Letters
/// count as they are. Immutable; thread-safe.
/// </summary>
public sealed class DeviceTag
{
    /// <summary>Characters of path and value.</summary>
    public const int MaxLength = 256;

    /// <summary>How a tag is written.</summary>
    public const string Syntax = "PATH=VALUE: names of tags with '.' between them, '=', and a text, number, true or false; at most 256 characters, no control characters and none beyond U+FFFF";

    private readonly string[] _names;

    private DeviceTag(string path, string[] names, string value)
    {
        Path = path;
        _names = names;
        Value = value;
    }

    /// <summary>The names of the tag and of those around it, the outermost first, with <c>.</c> between them.</summary>
    public string Path { get; }

    public string Value { get; }

    /// <summary>Reads a tag as requests give it: see <see cref="Syntax"/>.</summary>
    public static bool TryParse(string? text, [NotNullWhen(true)] out DeviceTag? tag)
    {
        tag = null;
        if (text is null)
            return false;

        var equals = text.IndexOf('=', StringComparison.Ordinal);
        if (equals <= 0 || equals == text.Length - 1 || text.Length > MaxLength || text.Any(c => char.IsControl(c) || char.IsSurrogate(c)))
            return false;

        var (path, value) = (text[..equals], text[(equals + 1)..]);
        var names = path.Split('.');
        if (names.Length > TwinLimits.MaxDepth || names.Any(name => name.Length == 0 || name.ContainsAny('$', ' ')))
            return false;

        tag = new DeviceTag(path, names, value);
        return true;
    }

    /// <summary>The value in a twin's tags, as text; null when it is not there, or is an object, an array or null.</summary>
    /// <param name="tags">UTF-8 JSON, an object, as it is stored.</param>
    /// <exception cref="JsonException">It is not.</exception>
    internal string? ValueIn(ReadOnlySpan<byte> tags)
    {
        var reader = new Utf8JsonReader(tags);
        reader.Read();
        foreach (var name in _names)
        {
            if (reader.TokenType is not JsonTokenType.StartObject || !GoTo(ref reader, name))
                return null;
        }

        return reader.TokenType switch
        {
            JsonTokenType.String => reader.GetString(),
            JsonTokenType.Number or JsonTokenType.True or JsonTokenType.False => Encoding.UTF8.GetString(reader.ValueSpan),
            _ => null,
        };
    }

    public override string ToString() => $"{Path}={Value}";

    // To the value of a member of the object that begins here.
    private static bool GoTo(ref Utf8JsonReader reader, string name)
    {
        while (reader.Read() && reader.TokenType is JsonTokenType.PropertyName)
        {
            var isIt = reader.ValueTextEquals(name);
            reader.Read();
            if (isIt)
                return true;
            reader.Skip();
        }

        return false;
    }
}
