namespace Sallyport.Cli;

/// <summary>What <c>--properties</c> of a message says: <c>NAME=VALUE;…</c>.</summary>
internal static class MessageProperties
{
    /// <summary>In their order; none when nothing is given.</summary>
    /// <exception cref="WrongUsageException">It is not such a list, or has a name twice.</exception>
    public static IReadOnlyList<KeyValuePair<string, string>> Read(string? text)
    {
        var properties = new List<KeyValuePair<string, string>>();
        foreach (var pair in (text ?? "").Split(';', StringSplitOptions.RemoveEmptyEntries))
        {
            var split = pair.IndexOf('=', StringComparison.Ordinal);
            if (split <= 0 || properties.Exists(known => known.Key == pair[..split]))
                throw new WrongUsageException("--properties: NAME=VALUE, several separated by semicolons, no name twice.");
            properties.Add(new(pair[..split], pair[(split + 1)..]));
        }

        return properties;
    }
}
