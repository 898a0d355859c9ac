namespace Sallyport.Hub.Access;

/// <summary>The values of <c>iothub-connection-auth-method</c> as Azure IoT Hub writes them.</summary>
internal static class AuthMethod
{
    /// <summary>A policy's token.</summary>
    public const string HubSas = """{"scope":"hub","type":"sas","issuer":"iothub","acceptingIpFilterRule":null}""";

    /// <summary>An operator's certificate. Ours: Azure's services have none.</summary>
    public const string HubCertificate = """{"scope":"hub","type":"x509","issuer":"external","acceptingIpFilterRule":null}""";

    public const string DeviceSas = """{"scope":"device","type":"sas","issuer":"iothub","acceptingIpFilterRule":null}""";

    public const string ModuleSas = """{"scope":"module","type":"sas","issuer":"iothub","acceptingIpFilterRule":null}""";

    public const string DeviceCertificate = """{"scope":"device","type":"x509","issuer":"external","acceptingIpFilterRule":null}""";

    public const string ModuleCertificate = """{"scope":"module","type":"x509","issuer":"external","acceptingIpFilterRule":null}""";
}
