using Microsoft.Extensions.Logging;

namespace Sallyport.Certificates;

/// <summary>Event ids 7100 to 7199.</summary>
internal static partial class CertificateLog
{
    [LoggerMessage(7100, LogLevel.Information, "Issued a server certificate for {Hosts}, valid until {NotAfter:u}")]
    public static partial void ServerCertificateIssued(this ILogger log, string hosts, DateTime notAfter);

    [LoggerMessage(7101, LogLevel.Warning, "The server root could not sign for the hosts now given, or is near its end: made a new one. Let clients trust {CaFile} again")]
    public static partial void ServerRootReplaced(this ILogger log, string caFile);

    [LoggerMessage(7102, LogLevel.Information, "New connections are shown the server certificate {Subject}, valid until {NotAfter:u}")]
    public static partial void ServerCertificateInForce(this ILogger log, string subject, DateTime notAfter);

    [LoggerMessage(7103, LogLevel.Error, "A newer server certificate could not be taken; the present one stays in force until {NotAfter:u}: {Reason}")]
    public static partial void ServerCertificateNotReloaded(this ILogger log, DateTime notAfter, string reason);
}
