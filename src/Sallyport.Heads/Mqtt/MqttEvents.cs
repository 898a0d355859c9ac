using System.Net;
using Microsoft.Extensions.Logging;

namespace Sallyport.Heads.Mqtt;

/// <summary>The log of the MQTT head. Event ids are stable. Nothing is logged per message.</summary>
internal static partial class MqttEvents
{
    [LoggerMessage(3001, LogLevel.Information, "MQTT CONNECT of {ClientId} from {Address} was refused: {Code} {Reason}")]
    public static partial void ConnectRefused(this ILogger logger, string clientId, IPEndPoint? address, int code, string reason);

    [LoggerMessage(3002, LogLevel.Information, "MQTT connection of {ClientId} from {Address} was closed: {Code} {Reason}")]
    public static partial void ConnectionClosed(this ILogger logger, string clientId, IPEndPoint? address, int code, string reason);

    [LoggerMessage(3003, LogLevel.Debug, "MQTT client {ClientId} connected from {Address}")]
    public static partial void Connected(this ILogger logger, string clientId, IPEndPoint? address);

    [LoggerMessage(3004, LogLevel.Debug, "MQTT client {ClientId} from {Address} went away")]
    public static partial void WentAway(this ILogger logger, string clientId, IPEndPoint? address);

    [LoggerMessage(3005, LogLevel.Error, "MQTT connection of {ClientId} from {Address} failed, correlation id {CorrelationId}")]
    public static partial void ConnectionFailed(this ILogger logger, Exception exception, string clientId, IPEndPoint? address, string correlationId);

    [LoggerMessage(3006, LogLevel.Warning, "The will of {ClientId} was not stored: {Reason}")]
    public static partial void WillLost(this ILogger logger, string clientId, string reason);

    [LoggerMessage(3007, LogLevel.Warning, "MQTT client {ClientId} takes itself over again and again; the newest, from {Address}, waits {Seconds} s")]
    public static partial void TakeOverSlowed(this ILogger logger, string clientId, IPEndPoint? address, double seconds);
}
