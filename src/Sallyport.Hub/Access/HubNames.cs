namespace Sallyport.Hub.Access;

/// <summary>
/// The host names under which clients know this hub (<c>--host</c>): only they are accepted in tokens, user names and Host
/// headers. Case-insensitive. Immutable; safe to share between threads.
/// </summary>
public sealed class HubNames
{
    private readonly HashSet<string> _names;
    private readonly HashSet<string> _labels;

    /// <param name="names">Without port; the first one goes into connection strings.</param>
    /// <exception cref="ArgumentException">There is none.</exception>
    public HubNames(IReadOnlyList<string> names)
    {
        if (names.Count == 0)
            throw new ArgumentException("a hub needs at least one host name", nameof(names));

        Primary = names[0];
        _names = new HashSet<string>(names, StringComparer.OrdinalIgnoreCase);
        _labels = new HashSet<string>(names.Select(name => name.Split('.', 2)[0]), StringComparer.OrdinalIgnoreCase);
    }

    /// <summary>The name in the connection strings that the hub hands out.</summary>
    public string Primary { get; }

    /// <summary>The first label of <see cref="Primary"/>: what Azure calls the name of the hub, for example in <c>iothubowner@sas.root.{host}</c>.</summary>
    public string HubName => Primary.Split('.', 2)[0];

    /// <summary>Whether it is the first label of one of the names: what SASL user names call the hub.</summary>
    public bool HasLabel(ReadOnlySpan<char> label) => _labels.GetAlternateLookup<ReadOnlySpan<char>>().Contains(label);

    public bool Contains(ReadOnlySpan<char> host) => _names.GetAlternateLookup<ReadOnlySpan<char>>().Contains(host);
}
