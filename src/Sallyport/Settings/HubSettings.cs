using System.Net;
using Microsoft.Extensions.Logging;
using Sallyport.Hub.Access;
using Sallyport.Hub.Commands;
using Sallyport.Hub.Configurations;
using Sallyport.Hub.Limits;
using Sallyport.Hub.Uploads;
using Sallyport.Storage.EventLog;

namespace Sallyport.Settings;

/// <summary>
/// What the process was told at start, from <c>sallyport.json</c>, environment and flags: one record per feature.
/// Immutable. Holds no secret, only the names of files that do. Each value's key, range and meaning is in <see cref="AllSettings"/>.
/// </summary>
internal sealed record HubSettings
{
    public HostSettings Hub { get; init; } = new();

    /// <summary>Every name and address by which the hub is called: in its certificate, and in the tokens shown to it.</summary>
    public IReadOnlyList<string> Names =>
        Listeners.ServiceBind is { } service && !Hub.Hosts.Contains(service) ? [.. Hub.Hosts, service] : Hub.Hosts;

    public ListenerSettings Listeners { get; init; } = new();
    public TlsSettings Tls { get; init; } = new();
    public RegistrySettings Registry { get; init; } = new();
    public PhysicalSettings Physical { get; init; } = new();
    public AccessSettings Access { get; init; } = new();

    /// <summary>Its directory is the data directory's.</summary>
    public SegmentLogOptions EventLog { get; init; } = new() { Directory = "" };
    public OutgoingSettings Outgoing { get; init; } = new();
    public LimitSettings Limits { get; init; } = new();
    public CommandOptions Commands { get; init; } = new();
    public UploadOptions Uploads { get; init; } = new();
    public UploadAccountSettings UploadAccount { get; init; } = new();
    public ConfigurationOptions Configurations { get; init; } = new();
    public AuditSettings Audit { get; init; } = new();
    public LogSettings Log { get; init; } = new();
}

internal sealed record HostSettings
{
    /// <summary>Where the hub keeps everything. Made with mode 0700 when missing.</summary>
    public string Data { get; init; } = DataPath.Default();

    /// <summary>The names and addresses that clients use, without port; the first is the one in connection strings.</summary>
    public IReadOnlyList<string> Hosts { get; init; } = HostNames.Defaults();

    /// <summary>Refuse whatever is only fit for development.</summary>
    public bool Production { get; init; }

    /// <summary>How many devices to simulate.</summary>
    public int Simulate { get; init; }

    /// <summary>A file with the key that encrypts secrets at rest; null: a systemd credential, or a generated file outside the data directory.</summary>
    public string? KeyFile { get; init; }
}

internal sealed record ListenerSettings
{
    /// <summary>The address to listen on; null: loopback, IPv4 and IPv6.</summary>
    public string? Bind { get; init; }

    /// <summary>REST, telemetry over HTTPS and WebSockets. Null: 443, or 8443 where 443 may not be bound.</summary>
    public int? HttpsPort { get; init; }

    /// <summary>MQTT over TLS.</summary>
    public int MqttsPort { get; init; } = 8883;

    public int AmqpsPort { get; init; } = 5671;

    /// <summary>The address of services and management, and of nothing else; <see cref="Bind"/> then serves devices alone. Null: one address serves all.</summary>
    public string? ServiceBind { get; init; }

    /// <summary>HTTPS on <see cref="ServiceBind"/>. Null: as <see cref="HttpsPort"/>.</summary>
    public int? ServicePort { get; init; }

    /// <summary>AMQP on <see cref="ServiceBind"/>. Null: as <see cref="AmqpsPort"/>.</summary>
    public int? ServiceAmqpsPort { get; init; }

    /// <summary>AMQP without TLS for Event Hubs readers on this machine, on loopback whatever <see cref="Bind"/> says. Null: no.</summary>
    public InsecureSwitch? InsecurePlainAmqp { get; init; }

    /// <summary>Of <see cref="InsecurePlainAmqp"/>. The default is where clients look with <c>UseDevelopmentEmulator=true</c>.</summary>
    public int PlainAmqpPort { get; init; } = 5672;

    /// <summary>Clients may ask for faults of their own connections, for their tests. Null: no.</summary>
    public InsecureSwitch? InsecureFaultInjection { get; init; }

    /// <summary>Every mistake, a sentence each.</summary>
    public IEnumerable<string> Validate()
    {
        if (InsecureFaultInjection is not null && new[] { Bind, ServiceBind }.Any(bind => bind is not null && !IPAddress.IsLoopback(IPAddress.Parse(bind))))
            yield return "Listeners:InsecureFaultInjection needs a hub that listens on loopback alone: leave it out, or leave Listeners:Bind and Listeners:ServiceBind out.";
        if (ServiceBind is null)
        {
            if (ServicePort is not null)
                yield return "Listeners:ServicePort needs Listeners:ServiceBind.";
            if (ServiceAmqpsPort is not null)
                yield return "Listeners:ServiceAmqpsPort needs Listeners:ServiceBind.";
            yield break;
        }

        var service = IPAddress.Parse(ServiceBind);
        if (service.Equals(IPAddress.Any) || service.Equals(IPAddress.IPv6Any))
            yield return "Listeners:ServiceBind must be one address: every address would include that of devices.";
        if (Bind is null ? service.Equals(IPAddress.Loopback) || service.Equals(IPAddress.IPv6Loopback) : service.Equals(IPAddress.Parse(Bind)))
            yield return $"Listeners:ServiceBind must be another address than that of devices, which is {Bind ?? "loopback"}.";
    }
}

internal sealed record RegistrySettings
{
    /// <summary>Several identities may have the same key or thumbprint. Null: no.</summary>
    public InsecureSwitch? InsecureSharedCredentials { get; init; }
}

internal sealed record TlsSettings
{
    /// <summary>PEM: the server certificate, then its intermediates. Null: a generated one of the development root.</summary>
    public string? CertificateFile { get; init; }

    /// <summary>PEM: the private key of <see cref="CertificateFile"/>. Null: it is in the same file.</summary>
    public string? KeyFile { get; init; }

    /// <summary>PEM: the root that clients should trust, named in <c>endpoints.json</c>. Null: one that they trust already.</summary>
    public string? CaFile { get; init; }
}

internal sealed record AccessSettings
{
    public TokenOptions Tokens { get; init; } = new();

    /// <summary>A policy's key as it is may be the password of SASL PLAIN. Null: no.</summary>
    public InsecureSwitch? InsecureSharedKeyOverPlain { get; init; }
}

/// <summary>Where connections may go, beyond what they may anyway; here, so that whoever may create a connection cannot widen it.</summary>
internal sealed record OutgoingSettings
{
    /// <summary>Null: in development only.</summary>
    public bool? AllowLoopback { get; init; }

    /// <summary>Directories for file targets besides <c>DIR/sinks</c>.</summary>
    public IReadOnlyList<string> FileDirectories { get; init; } = [];

    public IReadOnlyList<IPNetwork> AllowedNetworks { get; init; } = [];

    /// <summary>PEM: the only roots trusted for targets. Null: the system's.</summary>
    public string? RootsFile { get; init; }
}

/// <summary>What protects the hub from too much: before authentication, of failing credentials, and of what devices send.</summary>
internal sealed record LimitSettings
{
    public ConnectionLimitsOptions Connections { get; init; } = new();
    public BackoffOptions Backoff { get; init; } = new();
    public QuotaOptions Quotas { get; init; } = new();

    public IEnumerable<string> Validate() => Connections.Validate().Concat(Backoff.Validate()).Concat(Quotas.Validate()).Select(wrong => $"Limits: {wrong}");
}

/// <summary>Where anchors of the audit trail go, and how often.</summary>
internal sealed record AuditSettings
{
    /// <summary>Host and port of a syslog collector that speaks TLS. Null: none.</summary>
    public string? AnchorSyslog { get; init; }

    /// <summary>Takes a POST of each anchor, https. Null: none.</summary>
    public Uri? AnchorWebhook { get; init; }

    public TimeSpan AnchorInterval { get; init; } = TimeSpan.FromMinutes(10);

    /// <returns>Null when the text is not host:port.</returns>
    public static (string Host, int Port)? HostAndPort(string text) =>
        Uri.TryCreate($"tcp://{text}", UriKind.Absolute, out var uri) && uri is { Port: > 0, PathAndQuery: "/" or "", UserInfo: "", Fragment: "" } ? (uri.IdnHost, uri.Port) : null;
}

internal enum LogFormat
{
    Text,
    Json,
}

internal sealed record LogSettings
{
    public LogLevel Level { get; init; } = LogLevel.Information;

    public LogFormat Format { get; init; } = LogFormat.Text;
}
