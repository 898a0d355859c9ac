namespace Sallyport.Protocol.ConnectionStrings;

/// <summary>
/// A connection string as Event Hubs clients have it: <c>Endpoint=sb://host[:port]/;SharedAccessKeyName=…;SharedAccessKey=…[;EntityPath=…]</c>.
/// Holds a secret: never print <see cref="SharedAccessKey"/>. Immutable.
/// </summary>
public sealed class EventHubsConnectionString
{
    private static readonly string[] Names = ["Endpoint", nameof(SharedAccessKeyName), nameof(SharedAccessKey), nameof(EntityPath)];

    public required string HostName { get; init; }

    /// <summary>Null when the endpoint names none: 5671.</summary>
    public int? Port { get; init; }

    public required string SharedAccessKeyName { get; init; }

    /// <summary>Text: tokens are signed with it as it stands.</summary>
    public required string SharedAccessKey { get; init; }

    /// <summary>The name of the Event Hub; null when it is not said.</summary>
    public string? EntityPath { get; init; }

    /// <summary>Whether a text looks like one of these, and not like one of IoT Hub's (<see cref="ConnectionString"/>).</summary>
    public static bool IsMeant(string text) => text.Contains("Endpoint=", StringComparison.OrdinalIgnoreCase);

    /// <summary>Reads one: each name once, in any order, of any case.</summary>
    /// <exception cref="FormatException">Something is wrong with it; the message says what, without any value.</exception>
    public static EventHubsConnectionString Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        if (text.Length > ConnectionString.MaxLength)
            throw Wrong($"is longer than {ConnectionString.MaxLength} characters");

        var values = new Dictionary<string, string>(StringComparer.OrdinalIgnoreCase);
        foreach (var part in text.Trim().Split(';', StringSplitOptions.RemoveEmptyEntries))
        {
            // Only the first '=' separates: keys end in '=' themselves.
            var equals = part.IndexOf('=', StringComparison.Ordinal);
            var name = equals < 0 ? "" : part[..equals].Trim();
            if (!Names.Contains(name, StringComparer.OrdinalIgnoreCase))
                throw Wrong($"has a part that is none of {string.Join(", ", Names)}");
            if (equals == part.Length - 1)
                throw Wrong($"has an empty {name}");
            if (!values.TryAdd(name, part[(equals + 1)..].Trim()))
                throw Wrong($"has {name} twice");
        }

        foreach (var name in Names.Where(name => name != nameof(EntityPath) && !values.ContainsKey(name)))
            throw Wrong($"lacks {name}");
        if (!Uri.TryCreate(values["Endpoint"], UriKind.Absolute, out var endpoint) || endpoint.Scheme is not ("sb" or "amqps") || endpoint.Host.Length == 0)
            throw Wrong("has an Endpoint that is not sb://HOST/");

        return new EventHubsConnectionString
        {
            HostName = endpoint.Host,
            Port = endpoint.IsDefaultPort ? null : endpoint.Port,
            SharedAccessKeyName = values[nameof(SharedAccessKeyName)],
            SharedAccessKey = values[nameof(SharedAccessKey)],
            EntityPath = values.GetValueOrDefault(nameof(EntityPath)),
        };
    }

    /// <summary>Without the key.</summary>
    public override string ToString() => $"{HostName}/{SharedAccessKeyName}/{EntityPath}";

    private static FormatException Wrong(string what) => new($"the connection string {what}");
}
