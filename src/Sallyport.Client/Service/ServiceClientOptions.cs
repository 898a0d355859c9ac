namespace Sallyport.Client.Service;

/// <summary>How to reach a hub's REST surface.</summary>
public sealed record ServiceClientOptions
{
    /// <summary>The hub's HTTPS port.</summary>
    public int Port { get; init; } = 443;

    /// <summary>IP address to connect to instead of those of the hub's name, which the hub still has to prove; null resolves the name.</summary>
    public string? Address { get; init; }

    /// <summary>PEM file with the only roots to trust, as written by <c>sallyport ca export</c>; null for the system's roots.</summary>
    public string? CaFile { get; init; }

    /// <summary>PEM file with an operator's client certificate, then its intermediates; only with <see cref="ServiceClient.OfOperator"/>.</summary>
    public string? ClientCertificateFile { get; init; }

    /// <summary>PEM file with the private key of <see cref="ClientCertificateFile"/>, not encrypted; null: it is in the same file.</summary>
    public string? ClientKeyFile { get; init; }

    /// <summary>How long each token lives; renewed by itself. 1 minute to 1 day.</summary>
    public TimeSpan TokenLifetime { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>Bound on one request until its answer's headers are there.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(30);

    public TimeProvider Time { get; init; } = TimeProvider.System;
}
