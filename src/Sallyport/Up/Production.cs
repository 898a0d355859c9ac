using Sallyport.Settings;
using Sallyport.Storage.Secrets;

namespace Sallyport.Up;

/// <summary>What <c>--production</c> refuses.</summary>
internal static class Production
{
    /// <param name="environment">Reads a variable of the environment.</param>
    /// <exception cref="CannotStartException">Something is only fit for development; every reason, and what to provide.</exception>
    public static void Check(HubSettings settings, Func<string, string?> environment, DateTimeOffset now)
    {
        var reasons = new List<string>();
        if (settings.Tls.CertificateFile is null)
            reasons.Add("--production does not use the generated development root: give the server's certificate with --tls-certificate FILE, and its key with --tls-key FILE.");
        if (settings.Hub.KeyFile is null && !HasCredential(environment))
            reasons.Add($"--production does not generate the key that encrypts secrets at rest: give one with --key-file FILE, or as the systemd credential {KeyFile.CredentialName}.");
        if (LeftOwnersString(settings.Hub.Data))
            reasons.Add($"{EndpointsFile.PathIn(settings.Hub.Data)} holds the owner's connection string in the clear, left by a development start: run `sallyport owner recover --data {settings.Hub.Data}`, which renews the owner's keys and removes the file.");
        if (settings.Hub.Hosts.All(host => host == "localhost" || host.EndsWith(".localhost", StringComparison.Ordinal) || host.Equals(Environment.MachineName, StringComparison.OrdinalIgnoreCase)))
            reasons.Add("--production needs the names that clients use: give each with --host NAME.");

        if (settings.Hub.Simulate > 0)
            reasons.Add("--production takes no simulated devices: leave --simulate out.");

        if (settings.Listeners.InsecureFaultInjection is not null)
            reasons.Add("--production injects no faults, whoever answers for it: leave --enable-insecure-fault-injection out.");

        foreach (var (setting, on) in AllSettings.Insecure(settings with { Listeners = settings.Listeners with { InsecureFaultInjection = null } }))
        {
            if (on.Objection(now) is { } objection)
                reasons.Add($"--production does not take {setting.Key} as it is, because {objection}: leave it out, or set it to \"OWNER; REASON; YYYY-MM-DD\".");
        }

        if (reasons.Count > 0)
            throw new CannotStartException(reasons);
    }

    private static bool HasCredential(Func<string, string?> environment) =>
        environment("CREDENTIALS_DIRECTORY") is { Length: > 0 } directory && File.Exists(Path.Combine(directory, KeyFile.CredentialName));

    private static bool LeftOwnersString(string data)
    {
        try
        {
            return EndpointsFile.TryRead(EndpointsFile.PathIn(data))?.OwnerConnectionString is not null;
        }
        catch (Exception unreadable) when (unreadable is IOException or UnauthorizedAccessException or System.Text.Json.JsonException)
        {
            // Whoever opens the data directory next says what is wrong with it.
            return false;
        }
    }
}
