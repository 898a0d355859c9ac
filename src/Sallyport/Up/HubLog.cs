using Microsoft.Extensions.Logging;

namespace Sallyport.Up;

/// <summary>Event ids 7000 to 7099.</summary>
internal static partial class HubLog
{
    [LoggerMessage(7000, LogLevel.Information, "Hub {HostName} listens: HTTPS {HttpsPort}, MQTT {MqttsPort}, AMQP {AmqpPorts}; data in {DataDirectory}")]
    public static partial void Listening(this ILogger log, string hostName, int httpsPort, int mqttsPort, string amqpPorts, string dataDirectory);

    [LoggerMessage(7001, LogLevel.Information, "Stopping on {Signal}: no new connections, then last acknowledgements and checkpoints; a second signal ends at once")]
    public static partial void Stopping(this ILogger log, string signal);

    [LoggerMessage(7002, LogLevel.Information, "Stopped")]
    public static partial void Stopped(this ILogger log);

    [LoggerMessage(7003, LogLevel.Critical, "Durability can no longer be promised, so the hub ends: find out what the disk reports, then start it again")]
    public static partial void DurabilityLost(this ILogger log, Exception failure);

    [LoggerMessage(7004, LogLevel.Error, "Stopping took longer than {Bound}: ending without waiting for the rest")]
    public static partial void StoppedHard(this ILogger log, TimeSpan bound);

    [LoggerMessage(7009, LogLevel.Warning, "The simulated devices ended: {Reason}")]
    public static partial void SimulationEnded(this ILogger log, string reason);

    [LoggerMessage(7005, LogLevel.Warning, "This process may open {Limit} files, which is about as many connections: raise it (ulimit -n, LimitNOFILE=) before a fleet comes")]
    public static partial void FewFiles(this ILogger log, long limit);

    [LoggerMessage(7006, LogLevel.Information, "Log level is now {Level}")]
    public static partial void LevelChanged(this ILogger log, LogLevel level);

    [LoggerMessage(7007, LogLevel.Error, "Changed settings were not taken: {Problem}")]
    public static partial void SettingsNotReloaded(this ILogger log, string problem);

    [LoggerMessage(7010, LogLevel.Warning, "The key file {KeyFile} holds older keys ({OldKeys}) below the newest: the rotation is not finished, run secrets rotate")]
    public static partial void RotationUnfinished(this ILogger log, string keyFile, string oldKeys);

    [LoggerMessage(7008, LogLevel.Warning, "{Key} was changed; it takes effect at the next start")]
    public static partial void SettingNeedsRestart(this ILogger log, string key);
}
