using System.Diagnostics.Metrics;

namespace Sallyport.Hub.Configurations;

/// <summary>The meter <c>Sallyport.Configurations</c>. Thread-safe.</summary>
public static class ConfigurationMeter
{
    public const string Name = "Sallyport.Configurations";

    private static readonly Meter Meter = new(Name);
    private static readonly Counter<long> LookedAtTwins = Meter.CreateCounter<long>("sallyport.configurations.looked.at", "{twin}", "Twins compared with what configurations say.");
    private static readonly Counter<long> ChangedTwins = Meter.CreateCounter<long>("sallyport.configurations.changed", "{twin}", "Twins in which configurations changed something.");
    private static readonly Counter<long> FailedTwins = Meter.CreateCounter<long>("sallyport.configurations.failed", "{twin}", "Twins that could not be read, and so were left as they are.");

    internal static void LookedAt(int twins) => LookedAtTwins.Add(twins);

    internal static void Changed(int twins) => ChangedTwins.Add(twins);

    internal static void Failed() => FailedTwins.Add(1);
}
