namespace Sallyport.Storage.Metadata;

/// <summary>
/// Beginnings of ids and tags of devices in one column: the beginnings alone, separated by spaces, where there are no tags; else each beginning behind
/// a <c>/</c> and each tag behind an <c>&amp;</c>. No id has one of these, so a Sallyport that knows nothing of tags lets such a limit cover nobody.
/// </summary>
internal static class ScopeColumn
{
    private const char Prefix = '/';
    private const char Tag = '&';

    /// <param name="prefixes">Separated by spaces, as <paramref name="deviceTags"/>.</param>
    public static string Join(string prefixes, string deviceTags) =>
        deviceTags.Length == 0 ? prefixes : string.Join(' ', Names(prefixes).Select(name => Prefix + name).Concat(Names(deviceTags).Select(name => Tag + name)));

    public static (string Prefixes, string DeviceTags) Split(string column)
    {
        if (!column.Contains(Tag, StringComparison.Ordinal))
            return (column, "");

        var names = Names(column).ToLookup(name => name[0], name => name[1..]);
        return (string.Join(' ', names[Prefix]), string.Join(' ', names[Tag]));
    }

    private static string[] Names(string text) => text.Split(' ', StringSplitOptions.RemoveEmptyEntries);
}
