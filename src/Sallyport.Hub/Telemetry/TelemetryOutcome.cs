namespace Sallyport.Hub.Telemetry;

/// <summary>What became of a message that a device wants to send.</summary>
public enum TelemetryOutcome
{
    Accepted,

    /// <summary>Larger than 256 KB by IoT Hub's way of counting.</summary>
    TooLarge,

    /// <summary>A property is not allowed; <see cref="TelemetryRules"/> says which are.</summary>
    BadProperty,
}
