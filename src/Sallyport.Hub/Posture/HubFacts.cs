namespace Sallyport.Hub.Posture;

/// <summary>What only the executable knows of the running hub. Immutable; holds no secret.</summary>
public sealed record HubFacts
{
    public bool IsProduction { get; init; }

    /// <summary>Addresses that are listened on and not loopback.</summary>
    public IReadOnlyList<string> OpenAddresses { get; init; } = [];

    /// <summary>The server's certificate comes from the generated development root.</summary>
    public bool UsesDevelopmentRoot { get; init; }

    /// <summary>When the server's certificate ends, if somebody has to replace it; null when the hub renews it by itself.</summary>
    public DateTimeOffset? ServerCertificateEnds { get; init; }

    /// <summary>The file that holds the owner's connection string in the clear; null when there is none.</summary>
    public string? OwnerStringFile { get; init; }

    /// <summary>Of the key file and of the data directory; a copy of a folder around both holds what is encrypted and the key.</summary>
    public string KeyFile { get; init; } = "";

    /// <summary>Ids of the keys that the key file holds below the newest; none when no rotation is unfinished.</summary>
    public IReadOnlyList<string> OldKeys { get; init; } = [];

    /// <inheritdoc cref="KeyFile"/>
    public string DataDirectory { get; init; } = "";

    /// <summary>What a token may live at most; null: there is no maximum.</summary>
    public TimeSpan? MaxTokenLifetime { get; init; }

    /// <summary>Loosened defences in force.</summary>
    public IReadOnlyList<LoosenedDefence> Loosened { get; init; } = [];

    /// <summary>Names of connections that may write without TLS.</summary>
    public IReadOnlyList<string> PlainConnections { get; init; } = [];
}

/// <param name="Setting">Its key.</param>
/// <param name="Objection">Why production would refuse it; null when it would not.</param>
/// <param name="IsOver">Its last day has passed.</param>
public sealed record LoosenedDefence(string Setting, string Value, string? Objection, bool IsOver);
