using System.Net;
using Microsoft.Extensions.Logging;

namespace Sallyport.Heads.Amqp;

/// <summary>The log of the AMQP head. Event ids are stable. Nothing is logged per message.</summary>
internal static partial class AmqpEvents
{
    [LoggerMessage(3101, LogLevel.Information, "AMQP link {Address} from {Peer} was refused: {Code} {Reason}")]
    public static partial void LinkRefused(this ILogger logger, string address, IPEndPoint? peer, int code, string reason);

    [LoggerMessage(3102, LogLevel.Information, "AMQP connection from {Peer} was closed: {Condition} {Reason}")]
    public static partial void AmqpClosed(this ILogger logger, IPEndPoint? peer, string condition, string reason);

    [LoggerMessage(3103, LogLevel.Debug, "AMQP device {Identity} connected from {Peer}")]
    public static partial void DeviceCame(this ILogger logger, string identity, IPEndPoint? peer);

    [LoggerMessage(3104, LogLevel.Information, "AMQP session of {Identity} from {Peer} was closed: {Code} {Reason}")]
    public static partial void DeviceClosed(this ILogger logger, string identity, IPEndPoint? peer, int code, string reason);

    [LoggerMessage(3105, LogLevel.Error, "AMQP connection from {Peer} failed, correlation id {CorrelationId}")]
    public static partial void AmqpFailed(this ILogger logger, Exception exception, IPEndPoint? peer, string correlationId);

    [LoggerMessage(3107, LogLevel.Warning, "AMQP device {Identity} takes itself over again and again; the newest, from {Peer}, waits {Seconds} s")]
    public static partial void AmqpTakeOverSlowed(this ILogger logger, string identity, IPEndPoint? peer, double seconds);
}
