namespace Sallyport.Hub.Access;

/// <summary>
/// Which tags a device must have: of one tag any of the values that are named, and so for each of the tags. Immutable; thread-safe.
/// </summary>
internal sealed class TagLimit
{
    private readonly IReadOnlyList<IGrouping<string, DeviceTag>> _byPath;

    public TagLimit(IReadOnlyList<DeviceTag> tags)
    {
        Tags = tags;
        Text = string.Join(' ', tags.Select(tag => Uri.EscapeDataString(tag.ToString())));
        _byPath = [.. tags.GroupBy(tag => tag.Path, StringComparer.Ordinal)];
    }

    /// <summary>No limit.</summary>
    public static TagLimit None { get; } = new([]);

    public IReadOnlyList<DeviceTag> Tags { get; }

    /// <summary>As it is stored: percent-encoded, separated by spaces; the same text is the same limit.</summary>
    public string Text { get; }

    /// <summary>From what <see cref="Text"/> gave.</summary>
    /// <exception cref="FormatException">It is something else.</exception>
    public static TagLimit Of(string stored) => stored.Length == 0 ? None : new([.. stored.Split(' ').Select(text =>
        DeviceTag.TryParse(Uri.UnescapeDataString(text), out var tag) ? tag : throw new FormatException("a stored limit by tag is none"))]);

    /// <summary>Whether a device with these tags is within it.</summary>
    /// <param name="tags">UTF-8 JSON, an object, as it is stored.</param>
    public bool Allows(ReadOnlySpan<byte> tags)
    {
        foreach (var values in _byPath)
        {
            var value = values.First().ValueIn(tags);
            if (value is null || !values.Any(tag => tag.Value == value))
                return false;
        }

        return true;
    }

    /// <summary>Whether whatever is within the other is within this, whatever tags there are.</summary>
    public bool Covers(TagLimit other) => _byPath.All(mine =>
        other._byPath.FirstOrDefault(theirs => theirs.Key == mine.Key) is { } theirs && theirs.All(tag => mine.Any(allowed => allowed.Value == tag.Value)));
}
