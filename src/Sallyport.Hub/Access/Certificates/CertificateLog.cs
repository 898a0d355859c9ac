using Microsoft.Extensions.Logging;

namespace Sallyport.Hub.Access.Certificates;

/// <summary>Event ids 2450 to 2459.</summary>
internal static partial class CertificateLog
{
    [LoggerMessage(2450, LogLevel.Warning, "An intermediate certificate of the authority {Authority} could not be stored; it is kept in memory")]
    public static partial void IntermediateNotStored(this ILogger log, Exception error, string authority);

    [LoggerMessage(2451, LogLevel.Warning, "The revocation list of the authority {Authority} could not be renewed: {Reason}. The one there is stays")]
    public static partial void RevocationListNotRenewed(this ILogger log, string authority, string reason);

    [LoggerMessage(2452, LogLevel.Information, "The authority {Authority} has a new revocation list: {Revoked} revoked certificates, in force until {NextUpdate:u}")]
    public static partial void RevocationListRenewed(this ILogger log, string authority, int revoked, DateTimeOffset? nextUpdate);
}
