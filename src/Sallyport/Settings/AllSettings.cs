using System.Net;
using Microsoft.Extensions.Logging;
using Sallyport.Hub.Physical;

namespace Sallyport.Settings;

/// <summary>
/// Every key there is. <c>sallyport.schema.json</c> and <c>docs/configuration.md</c> are held to this table by tests.
/// No key disables a defence; what loosens one is called <c>Insecure…</c> (<c>docs/insecure-switches.md</c>).
/// </summary>
internal static class AllSettings
{
    public static readonly IReadOnlyList<Setting> Table =
    [
        Setting.Path("Hub:Data", "The data directory, made with mode 0700 when missing. Default: $XDG_STATE_HOME/sallyport/data, which is ~/.local/state/sallyport/data.",
            (s, v) => s with { Hub = s.Hub with { Data = v } }, s => s.Hub.Data),
        Setting.Texts("Hub:Hosts", "Names and addresses that clients use, without port; the first is the one in connection strings. Default: localhost, sallyport.localhost and this machine's name.",
            (s, v) => s with { Hub = s.Hub with { Hosts = HostNames.Parse(v) } }, s => s.Hub.Hosts),
        Setting.Switch("Hub:Production", "Refuse whatever is only fit for development. Default: false.",
            (s, v) => s with { Hub = s.Hub with { Production = v } }, s => s.Hub.Production),
        Setting.Path("Hub:KeyFile", "File with the key that encrypts secrets at rest. Default: the systemd credential sallyport-key, else a file generated outside the data directory (development only).",
            (s, v) => s with { Hub = s.Hub with { KeyFile = v } }, s => s.Hub.KeyFile),
        Setting.Whole("Hub:Simulate", 0, 1000, "Devices that the hub simulates from its start on, each sending this machine's own readings. Development only. Default: 0.",
            (s, v) => s with { Hub = s.Hub with { Simulate = (int)v } }, s => s.Hub.Simulate),

        Setting.Text("Listeners:Bind", "IP address to listen on; 0.0.0.0 or :: is every one. Default: loopback only, IPv4 and IPv6.",
            (s, v) => IPAddress.TryParse(v, out _) ? s with { Listeners = s.Listeners with { Bind = v } } : throw new SettingException("must be an IP address"),
            s => s.Listeners.Bind),
        Setting.Whole("Listeners:HttpsPort", 0, 65535, "TCP port of REST, HTTPS telemetry and WebSockets; 0 takes a free one. Default: 443, or 8443 where 443 may not be bound.",
            (s, v) => s with { Listeners = s.Listeners with { HttpsPort = (int)v } }, s => s.Listeners.HttpsPort),
        Setting.Whole("Listeners:AmqpsPort", 0, 65535, "TCP port of AMQP over TLS; 0 takes a free one. Default: 5671.",
            (s, v) => s with { Listeners = s.Listeners with { AmqpsPort = (int)v } }, s => s.Listeners.AmqpsPort),
        Setting.Whole("Listeners:MqttsPort", 0, 65535, "TCP port of MQTT over TLS; 0 takes a free one. Default: 8883.",
            (s, v) => s with { Listeners = s.Listeners with { MqttsPort = (int)v } }, s => s.Listeners.MqttsPort),
        Setting.Text("Listeners:ServiceBind", "IP address for services and management alone: registry, reading, /manage/v1, /metrics. Listeners:Bind then serves devices alone. Default: none, one address serves all.",
            (s, v) => IPAddress.TryParse(v, out _) ? s with { Listeners = s.Listeners with { ServiceBind = v } } : throw new SettingException("must be an IP address"),
            s => s.Listeners.ServiceBind),
        Setting.Whole("Listeners:ServiceAmqpsPort", 0, 65535, "TCP port of AMQP over TLS on Listeners:ServiceBind; 0 takes a free one. Default: that of Listeners:AmqpsPort.",
            (s, v) => s with { Listeners = s.Listeners with { ServiceAmqpsPort = (int)v } }, s => s.Listeners.ServiceAmqpsPort),
        Setting.Whole("Listeners:ServicePort", 0, 65535, "TCP port of HTTPS on Listeners:ServiceBind; 0 takes a free one. Default: that of Listeners:HttpsPort.",
            (s, v) => s with { Listeners = s.Listeners with { ServicePort = (int)v } }, s => s.Listeners.ServicePort),
        Setting.Insecure("Listeners:InsecurePlainAmqp", "Listen on loopback, and nowhere else, for Event Hubs readers that speak AMQP without TLS (UseDevelopmentEmulator=true): \"OWNER; REASON; LAST-DAY\". Default: false.",
            (s, v) => s with { Listeners = s.Listeners with { InsecurePlainAmqp = v } }, s => s.Listeners.InsecurePlainAmqp),
        Setting.Whole("Listeners:PlainAmqpPort", 0, 65535, "TCP port of Listeners:InsecurePlainAmqp; 0 takes a free one. Default: 5672.",
            (s, v) => s with { Listeners = s.Listeners with { PlainAmqpPort = (int)v } }, s => s.Listeners.PlainAmqpPort),

        Setting.Insecure("Listeners:InsecureFaultInjection", "Let devices ask for faults of their own connections, to test how they come back (docs/fault-injection.md). Only on loopback, and never with Hub:Production. Default: false.",
            (s, v) => s with { Listeners = s.Listeners with { InsecureFaultInjection = v } }, s => s.Listeners.InsecureFaultInjection),

        Setting.Insecure("Registry:InsecureSharedCredentials", "Let several identities have the same key or thumbprint: \"OWNER; REASON; LAST-DAY\". Default: false; it is refused with 409.",
            (s, v) => s with { Registry = s.Registry with { InsecureSharedCredentials = v } }, s => s.Registry.InsecureSharedCredentials),

        Setting.Texts("Physical:TamperProperties", "Application properties, as NAME=VALUE, by which a device declares that it was tampered with: a message with one of them puts its device into quarantine. Default: none.",
            (s, v) => s with { Physical = s.Physical with { TamperProperties = [.. v.Select(Tamper)] } },
            s => [.. s.Physical.TamperProperties.Select(property => property.Text)]),
        Setting.Whole("Physical:CloneReturns", 2, 100, "Take-overs of an identity back to an address that it had before, within Physical:CloneWindowSeconds, that make it a suspected copy. Default: 6.",
            (s, v) => s with { Physical = s.Physical with { Copies = s.Physical.Copies with { Returns = (int)v } } }, s => s.Physical.Copies.Returns),
        Setting.Whole("Physical:CloneWindowSeconds", 10, 86_400, "Seconds within which Physical:CloneReturns are counted. Default: 600.",
            (s, v) => s with { Physical = s.Physical with { Copies = s.Physical.Copies with { Window = TimeSpan.FromSeconds(v) } } }, s => (long)s.Physical.Copies.Window.TotalSeconds),
        Setting.Choice("Physical:CloneAction", "What becomes of a suspected copy: Report (log, audit trail, posture) or also Quarantine. Default: Report.",
            (s, v) => s with { Physical = s.Physical with { Copies = s.Physical.Copies with { Quarantines = v == CloneAction.Quarantine } } },
            s => s.Physical.Copies.Quarantines ? CloneAction.Quarantine : CloneAction.Report),

        Setting.Path("Tls:CertificateFile", "PEM file: the server's certificate, then its intermediates. Read again when it changes. Default: a generated one of the development root.",
            (s, v) => s with { Tls = s.Tls with { CertificateFile = v } }, s => s.Tls.CertificateFile),
        Setting.Path("Tls:KeyFile", "PEM file: the private key of Tls:CertificateFile. Default: it is in the same file.",
            (s, v) => s with { Tls = s.Tls with { KeyFile = v } }, s => s.Tls.KeyFile),
        Setting.Path("Tls:CaFile", "PEM file: the root that clients must trust; endpoints.json names it. Default: none, clients trust the certificate's issuer already.",
            (s, v) => s with { Tls = s.Tls with { CaFile = v } }, s => s.Tls.CaFile),

        Setting.Whole("Access:MaxTokenLifetimeMinutes", 0, 5_256_000, "Minutes that a token may live at most: one that ends later is refused, over every protocol. SDKs make tokens of 60 minutes. 0: no maximum. Default: 0, as Azure IoT Hub has none.",
            (s, v) => v is 0 or >= 10 ? s with { Access = s.Access with { Tokens = s.Access.Tokens with { MaxLifetime = v == 0 ? null : TimeSpan.FromMinutes(v) } } } : throw new SettingException("must be 0, or 10 and more: the tokens of this program's own verbs live 5 minutes"),
            s => (long)(s.Access.Tokens.MaxLifetime?.TotalMinutes ?? 0)),
        Setting.Insecure("Access:InsecureSharedKeyOverPlain", "Let clients in that send a policy's key as it is as the password of SASL PLAIN, instead of a token that it signed: \"OWNER; REASON; LAST-DAY\". Default: false; they are refused, and the key counts as exposed.",
            (s, v) => s with { Access = s.Access with { InsecureSharedKeyOverPlain = v } }, s => s.Access.InsecureSharedKeyOverPlain),

        Setting.Whole("EventLog:Partitions", 1, 32, "Partitions of the event log. Fixed when the data directory is made; an existing one keeps its count. Default: 4.",
            (s, v) => s with { EventLog = s.EventLog with { PartitionCount = (int)v } }, s => s.EventLog.PartitionCount),
        Setting.Whole("EventLog:RetentionHours", 1, 8760, "Hours that a record is kept at least, if EventLog:RetentionBytes allows. Default: 24.",
            (s, v) => s with { EventLog = s.EventLog with { Retention = TimeSpan.FromHours(v) } }, s => (long)s.EventLog.Retention.TotalHours),
        Setting.Whole("EventLog:RetentionBytes", 64L << 20, 1L << 50, "Bytes of the event log beyond which the oldest records go, whatever their age. Default: 10737418240 (10 GiB).",
            (s, v) => s with { EventLog = s.EventLog with { RetentionBytes = v } }, s => s.EventLog.RetentionBytes),
        Setting.Whole("EventLog:MaxHeldBytes", 0, 1L << 50, "Bytes that connections may hold back beyond retention. Default: half of the disk's free space at start.",
            (s, v) => s with { EventLog = s.EventLog with { MaxHeldBytes = v } }, s => s.EventLog.MaxHeldBytes),
        Setting.Whole("EventLog:ReserveBytes", 0, 1L << 50, "Bytes of the disk that the event log leaves free, so that policies and devices can still be changed when it is full. Default: 268435456 (256 MiB).",
            (s, v) => s with { EventLog = s.EventLog with { ReserveBytes = v } }, s => s.EventLog.ReserveBytes),

        Setting.Switch("Outgoing:AllowLoopback", "Let connections write to this machine's loopback addresses and unix sockets, also without TLS. Default: true in development, false in production.",
            (s, v) => s with { Outgoing = s.Outgoing with { AllowLoopback = v } }, s => s.Outgoing.AllowLoopback ?? !s.Hub.Production),
        Setting.Texts("Outgoing:FileDirectories", "Existing directories, by absolute path, that file targets of connections may be in besides the data directory's sinks. Default: none.",
            (s, v) => v.All(Path.IsPathFullyQualified) ? s with { Outgoing = s.Outgoing with { FileDirectories = v } } : throw new SettingException("must hold absolute paths"),
            s => s.Outgoing.FileDirectories),
        Setting.Texts("Outgoing:AllowedNetworks", "Link-local, metadata or unspecified addresses that connections may go to all the same, as networks (169.254.7.0/24). Default: none.",
            (s, v) => s with { Outgoing = s.Outgoing with { AllowedNetworks = [.. v.Select(Network)] } },
            s => [.. s.Outgoing.AllowedNetworks.Select(network => network.ToString())]),
        Setting.Path("Outgoing:RootsFile", "PEM file: the only roots trusted for the targets of connections. Default: the system's.",
            (s, v) => s with { Outgoing = s.Outgoing with { RootsFile = v } }, s => s.Outgoing.RootsFile),

        Setting.Whole("Limits:HandshakeSeconds", 1, 60, "Seconds from an accepted socket to its authentication, TLS included; anew for one that had to wait for its handshake's turn. Default: 10.",
            (s, v) => s with { Limits = s.Limits with { Connections = s.Limits.Connections with { HandshakeDeadline = TimeSpan.FromSeconds(v) } } }, s => (long)s.Limits.Connections.HandshakeDeadline.TotalSeconds),
        Setting.Whole("Limits:UnauthenticatedConnections", 1, 1000000, "Connections that have not authenticated, in all; more are closed. Default: 16384.",
            (s, v) => s with { Limits = s.Limits with { Connections = s.Limits.Connections with { MaxConnections = (int)v } } }, s => s.Limits.Connections.MaxConnections),
        Setting.Whole("Limits:UnauthenticatedConnectionsPerAddress", 1, 1000000, "Connections of one address (IPv6: one /64) that have not authenticated; more are closed. Default: 12288.",
            (s, v) => s with { Limits = s.Limits with { Connections = s.Limits.Connections with { MaxConnectionsPerAddress = (int)v } } }, s => s.Limits.Connections.MaxConnectionsPerAddress),
        Setting.Whole("Limits:Handshakes", 0, 1024, "TLS handshakes computed at a time; others wait their turn. 0: half of the processors, at least one. Default: 0.",
            (s, v) => s with { Limits = s.Limits with { Connections = s.Limits.Connections with { MaxHandshakes = (int)v } } }, s => s.Limits.Connections.MaxHandshakes),
        Setting.Whole("Limits:UnauthenticatedBytesPerConnection", 4096, 1L << 30, "Bytes read from one connection before it is authenticated; one that sends more is closed. Default: 65536.",
            (s, v) => s with { Limits = s.Limits with { Connections = s.Limits.Connections with { MaxBytesPerConnection = (int)v } } }, s => s.Limits.Connections.MaxBytesPerConnection),
        Setting.Whole("Limits:UnauthenticatedBytesPerAddress", 4096, 1L << 40, "Bytes that unauthenticated connections of one address hold. Default: 16777216 (16 MiB).",
            (s, v) => s with { Limits = s.Limits with { Connections = s.Limits.Connections with { MaxBytesPerAddress = v } } }, s => s.Limits.Connections.MaxBytesPerAddress),
        Setting.Whole("Limits:UnauthenticatedBytes", 4096, 1L << 40, "Bytes that unauthenticated connections hold in all. Default: 33554432 (32 MiB).",
            (s, v) => s with { Limits = s.Limits with { Connections = s.Limits.Connections with { MaxBytes = v } } }, s => s.Limits.Connections.MaxBytes),
        Setting.Whole("Limits:BackoffFailures", 1, 1000, "Failures of an address that are forgiven before its connections are refused before TLS; one is forgotten every 5 s. Default: 5.",
            (s, v) => s with { Limits = s.Limits with { Backoff = s.Limits.Backoff with { Failures = (int)v } } }, s => s.Limits.Backoff.Failures),
        Setting.Whole("Limits:BackoffSeconds", 1, 3600, "Seconds that a failing address is refused at first; each time after it twice as long. Default: 2.",
            (s, v) => s with { Limits = s.Limits with { Backoff = s.Limits.Backoff with { First = TimeSpan.FromSeconds(v) } } }, s => (long)s.Limits.Backoff.First.TotalSeconds),
        Setting.Whole("Limits:BackoffSecondsMax", 1, 3600, "Seconds that a failing address is refused at most. Default: 60.",
            (s, v) => s with { Limits = s.Limits with { Backoff = s.Limits.Backoff with { Longest = TimeSpan.FromSeconds(v) } } }, s => (long)s.Limits.Backoff.Longest.TotalSeconds),
        Setting.Whole("Limits:BackoffTrustSeconds", 0, 86400, "Seconds after which an address from which a device was let in, and is connected no more, may be refused before TLS again. Default: 600.",
            (s, v) => s with { Limits = s.Limits with { Backoff = s.Limits.Backoff with { Trust = TimeSpan.FromSeconds(v) } } }, s => (long)s.Limits.Backoff.Trust.TotalSeconds),
        Setting.Whole("Limits:BurstSeconds", 1, 3600, "What may come at once, as seconds of each of the limits per second below. Default: 10.",
            (s, v) => s with { Limits = s.Limits with { Quotas = s.Limits.Quotas with { Burst = TimeSpan.FromSeconds(v) } } }, s => (long)s.Limits.Quotas.Burst.TotalSeconds),
        Setting.Whole("Limits:DeviceConnectionsPerSecond", 0, 1L << 40, "MQTT connections of one device or module, per second; 0 is no limit. Default: 2.",
            (s, v) => s with { Limits = s.Limits with { Quotas = s.Limits.Quotas with { DeviceConnectionsPerSecond = v } } }, s => s.Limits.Quotas.DeviceConnectionsPerSecond),
        Setting.Whole("Limits:DeviceMessagesPerSecond", 0, 1L << 40, "Telemetry messages of one device or module, per second; 0 is no limit. Default: 10000.",
            (s, v) => s with { Limits = s.Limits with { Quotas = s.Limits.Quotas with { DeviceMessagesPerSecond = v } } }, s => s.Limits.Quotas.DeviceMessagesPerSecond),
        Setting.Whole("Limits:DeviceBytesPerSecond", 0, 1L << 40, "Bytes of telemetry of one device or module, as stored, per second; 0 is no limit. Default: 33554432 (32 MiB).",
            (s, v) => s with { Limits = s.Limits with { Quotas = s.Limits.Quotas with { DeviceBytesPerSecond = v } } }, s => s.Limits.Quotas.DeviceBytesPerSecond),
        Setting.Whole("Limits:DeviceRegistryOperationsPerSecond", 0, 1L << 40, "Registry operations on one device, per second; 0 is no limit. Default: 100.",
            (s, v) => s with { Limits = s.Limits with { Quotas = s.Limits.Quotas with { DeviceRegistryOperationsPerSecond = v } } }, s => s.Limits.Quotas.DeviceRegistryOperationsPerSecond),
        Setting.Whole("Limits:ConnectionsPerSecond", 0, 1L << 40, "MQTT connections in all, per second; 0 is no limit. Default: 6000.",
            (s, v) => s with { Limits = s.Limits with { Quotas = s.Limits.Quotas with { ConnectionsPerSecond = v } } }, s => s.Limits.Quotas.ConnectionsPerSecond),
        Setting.Whole("Limits:MessagesPerSecond", 0, 1L << 40, "Telemetry messages in all, per second; 0 is no limit. Default: 1000000.",
            (s, v) => s with { Limits = s.Limits with { Quotas = s.Limits.Quotas with { MessagesPerSecond = v } } }, s => s.Limits.Quotas.MessagesPerSecond),
        Setting.Whole("Limits:BytesPerSecond", 0, 1L << 40, "Bytes of telemetry in all, as stored, per second; 0 is no limit. Default: 1073741824 (1 GiB).",
            (s, v) => s with { Limits = s.Limits with { Quotas = s.Limits.Quotas with { BytesPerSecond = v } } }, s => s.Limits.Quotas.BytesPerSecond),
        Setting.Whole("Limits:RegistryOperationsPerSecond", 0, 1L << 40, "Registry operations in all, per second, each item of a bulk request one; 0 is no limit. Default: 10000.",
            (s, v) => s with { Limits = s.Limits with { Quotas = s.Limits.Quotas with { RegistryOperationsPerSecond = v } } }, s => s.Limits.Quotas.RegistryOperationsPerSecond),

        Setting.Whole("Configurations:MaxConfigurations", 1, 128, "Automatic configurations and edge deployments together; another one is refused with 403009. Default: 100, as Azure IoT Hub has of each.",
            (s, v) => s with { Configurations = s.Configurations with { MaxConfigurations = (int)v } }, s => s.Configurations.MaxConfigurations),
        Setting.Whole("Commands:MaxQueueDepth", 1, 10000, "Cloud-to-device messages that may wait for one device or module; another one is refused with 403004. Default: 50, as Azure IoT Hub.",
            (s, v) => s with { Commands = s.Commands with { MaxQueueDepth = (int)v } }, s => s.Commands.MaxQueueDepth),
        Setting.Whole("Commands:LockSeconds", 5, 300, "Seconds that a cloud-to-device message is hidden from others after a device took it over AMQP or HTTPS. Default: 60, as Azure IoT Hub.",
            (s, v) => s with { Commands = s.Commands with { LockDuration = TimeSpan.FromSeconds(v) } }, s => (long)s.Commands.LockDuration.TotalSeconds),
        Setting.Whole("Commands:DefaultTimeToLiveMinutes", 1, 2880, "Minutes that a cloud-to-device message waits whose sender gave no expiry. Default: 60, as Azure IoT Hub.",
            (s, v) => s with { Commands = s.Commands with { DefaultTimeToLive = TimeSpan.FromMinutes(v) } }, s => (long)s.Commands.DefaultTimeToLive.TotalMinutes),
        Setting.Whole("Commands:MaxDeliveryCount", 1, 100, "How often a cloud-to-device message may be abandoned; the last time it is given up. Default: 10, as Azure IoT Hub.",
            (s, v) => s with { Commands = s.Commands with { MaxDeliveryCount = (int)v } }, s => s.Commands.MaxDeliveryCount),
        Setting.Whole("Commands:FeedbackTimeToLiveMinutes", 1, 2880, "Minutes that a batch of feedback waits for a receiver. Default: 60, as Azure IoT Hub.",
            (s, v) => s with { Commands = s.Commands with { FeedbackTimeToLive = TimeSpan.FromMinutes(v) } }, s => (long)s.Commands.FeedbackTimeToLive.TotalMinutes),
        Setting.Whole("Commands:FeedbackLockSeconds", 5, 300, "Seconds that a batch of feedback is one receiver's. Default: 60, as Azure IoT Hub.",
            (s, v) => s with { Commands = s.Commands with { FeedbackLockDuration = TimeSpan.FromSeconds(v) } }, s => (long)s.Commands.FeedbackLockDuration.TotalSeconds),
        Setting.Whole("Commands:FeedbackMaxDeliveryCount", 1, 100, "How often a batch of feedback may be abandoned; the last time it is dropped. Default: 10, as Azure IoT Hub.",
            (s, v) => s with { Commands = s.Commands with { FeedbackMaxDeliveryCount = (int)v } }, s => s.Commands.FeedbackMaxDeliveryCount),
        Setting.Whole("Commands:MaxDeadCommands", 50, 100000, "Cloud-to-device messages that are kept after they were given up, 50 of one device or module; at the bound the oldest go. Default: 5000.",
            (s, v) => s with { Commands = s.Commands with { MaxDead = (int)v } }, s => s.Commands.MaxDead),

        .. UploadSettings.Table,

        Setting.Text("Audit:AnchorSyslog", "Host and port (collector.example.org:6514) of a syslog collector that takes the head of the audit trail over TLS. Default: none.",
            (s, v) => AuditSettings.HostAndPort(v) is not null ? s with { Audit = s.Audit with { AnchorSyslog = v } } : throw new SettingException("must be host:port"),
            s => s.Audit.AnchorSyslog),
        Setting.Text("Audit:AnchorWebhook", "https URL that the head of the audit trail is posted to as JSON; it is shown by config show, so it holds no secret. Default: none.",
            (s, v) => Uri.TryCreate(v, UriKind.Absolute, out var url) && url.Scheme == Uri.UriSchemeHttps && url.UserInfo.Length == 0
                ? s with { Audit = s.Audit with { AnchorWebhook = url } }
                : throw new SettingException("must be an https URL without credentials"),
            s => s.Audit.AnchorWebhook?.ToString()),
        Setting.Whole("Audit:AnchorIntervalMinutes", 1, 1440, "Minutes between two heads that are sent, when something was written meanwhile; the end of each file is sent at once. What came after the newest one is what a thief of the hub's key could change unseen. Default: 10.",
            (s, v) => s with { Audit = s.Audit with { AnchorInterval = TimeSpan.FromMinutes(v) } }, s => (long)s.Audit.AnchorInterval.TotalMinutes),

        Setting.Choice<LogLevel>("Log:Level", "The least severe entries that are written. Picked up while running. Default: Information.",
            (s, v) => s with { Log = s.Log with { Level = v } }, s => s.Log.Level) with { IsLive = true },
        Setting.Choice<LogFormat>("Log:Format", "Text for people, Json (one object a line) for machines; on standard error. Default: Text.",
            (s, v) => s with { Log = s.Log with { Format = v } }, s => s.Log.Format),
    ];

    /// <summary>Keys are compared without case, so that an environment may be written in capitals.</summary>
    public static readonly IReadOnlyDictionary<string, Setting> ByKey = Table.ToDictionary(setting => setting.Key, StringComparer.OrdinalIgnoreCase);

    /// <summary>The loosened defences in force, in the order of the table.</summary>
    public static IEnumerable<(Setting Setting, InsecureSwitch Switch)> Insecure(HubSettings settings) =>
        from setting in Table
        let inForce = setting.Loosens?.Invoke(settings)
        where inForce is not null
        select (setting, inForce);

    private static TamperProperty Tamper(string text) =>
        TamperProperty.TryParse(text) ?? throw new SettingException($"must hold properties as NAME=VALUE; '{text}' is none");

    private static IPNetwork Network(string text) =>
        IPNetwork.TryParse(text, out var network) ? network : throw new SettingException($"must hold networks such as 169.254.7.0/24; '{text}' is none");
}
