namespace Sallyport.Hub.Access;

/// <summary>
/// What somebody may do. Stored as numbers: frozen by a test, new ones take new bits.
/// Azure's four are names for sets of these (<see cref="AzureRights"/>).
/// </summary>
[Flags]
public enum Rights : long
{
    None = 0,
    DeviceConnect = 1L << 0,
    TelemetryRead = 1L << 1,
    CommandSend = 1L << 2,
    MethodInvoke = 1L << 3,
    TwinRead = 1L << 4,
    TwinWrite = 1L << 5,

    /// <summary>Identities without their keys.</summary>
    RegistryRead = 1L << 6,

    /// <summary>Keys of identities.</summary>
    RegistrySecrets = 1L << 7,
    RegistryWrite = 1L << 8,
    JobManage = 1L << 9,
    ConfigurationManage = 1L << 10,
    ConnectionManage = 1L << 11,
    RouteManage = 1L << 12,

    /// <summary>Policies, operators, certificates, the key of the secrets at rest.</summary>
    AccessManage = 1L << 13,
    AuditRead = 1L << 14,
    LakeRead = 1L << 15,
    ThreatRun = 1L << 16,

    /// <summary>Files that devices uploaded: which there are, and what is in them.</summary>
    FileRead = 1L << 17,
    FileDelete = 1L << 18,
}

/// <summary>The four permissions of Azure IoT Hub's shared access policies as sets of <see cref="Rights"/>.</summary>
public static class AzureRights
{
    public const Rights RegistryRead = Rights.RegistryRead | Rights.RegistrySecrets;
    public const Rights RegistryWrite = RegistryRead | Rights.RegistryWrite;
    public const Rights ServiceConnect = Rights.TelemetryRead | Rights.CommandSend | Rights.MethodInvoke | Rights.TwinRead | Rights.TwinWrite
        | Rights.JobManage | Rights.ConfigurationManage;
    public const Rights DeviceConnect = Rights.DeviceConnect;
    public const Rights All = (Rights)((1L << 19) - 1);
}
