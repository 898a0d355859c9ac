using System.Collections;
using System.Text.Json;

namespace Sallyport.Settings;

/// <summary>Settings as read, or everything that is wrong with them.</summary>
/// <param name="File">The configuration file that was read; null when there is none.</param>
internal sealed record SettingsReading(HubSettings Settings, IReadOnlyList<string> Errors, string? File);

/// <summary>
/// Reads settings: defaults, then the file, then <c>SALLYPORT__Section__Key</c>, then flags; the later wins.
/// Reports every error, not the first; an unknown key is one.
/// </summary>
internal static class SettingsReader
{
    private const string EnvironmentPrefix = "SALLYPORT__";
    public const string FileName = "sallyport.json";

    /// <param name="file">As given by <c>--config</c>; null takes <c>sallyport.json</c> in the data directory, where there is one.</param>
    /// <param name="environment">The process's environment.</param>
    /// <param name="flags">Key and values as given on the command line.</param>
    public static SettingsReading Read(string? file, IDictionary environment, IReadOnlyDictionary<string, IReadOnlyList<string>> flags)
    {
        var errors = new List<string>();
        var current = Directory.GetCurrentDirectory();

        var fromEnvironment = new List<(string Key, SettingValue Value)>();
        foreach (DictionaryEntry variable in environment)
        {
            if (variable.Key is string name && name.StartsWith(EnvironmentPrefix, StringComparison.OrdinalIgnoreCase))
            {
                var key = name[EnvironmentPrefix.Length..].Replace("__", ":", StringComparison.Ordinal);
                IReadOnlyList<string> texts = AllSettings.ByKey.TryGetValue(key, out var setting) && setting.IsList
                    ? ((string)variable.Value!).Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries)
                    : [(string)variable.Value!];
                fromEnvironment.Add((key, new SettingValue(texts, $"environment variable {name}", current)));
            }
        }

        var fromFlags = flags.Select(flag => (flag.Key, Value: new SettingValue(flag.Value, "command line", current))).ToList();

        // Where the file is may depend on the data directory, so that one is looked for first.
        var located = Apply(new HubSettings(), fromEnvironment.Concat(fromFlags).Where(given => given.Key.Equals("Hub:Data", StringComparison.OrdinalIgnoreCase)), []);
        var implied = Path.Combine(located.Hub.Data, FileName);
        var path = file is not null ? Path.GetFullPath(file) : File.Exists(implied) ? implied : null;
        var fromFile = path is null ? [] : ReadFile(path, errors);
        if (file is null && fromFile.Any(given => given.Key.Equals("Hub:Data", StringComparison.OrdinalIgnoreCase)))
            errors.Add($"{path}: Hub:Data cannot be set in a file that was found in the data directory; name the file with --config");

        var settings = Apply(new HubSettings(), fromFile.Concat(fromEnvironment).Concat(fromFlags), errors);
        if (settings.Tls.KeyFile is not null && settings.Tls.CertificateFile is null)
            errors.Add("Tls:KeyFile is set without Tls:CertificateFile; name the certificate that the key belongs to");
        errors.AddRange(settings.Limits.Validate());
        errors.AddRange(settings.Listeners.Validate());
        errors.AddRange(settings.Configurations.Validate().Select(wrong => $"Configurations: {wrong}"));
        errors.AddRange(settings.Commands.Validate().Select(wrong => $"Commands: {wrong}"));
        errors.AddRange(settings.Uploads.Validate().Select(wrong => $"Uploads: {wrong}"));
        errors.AddRange((settings.EventLog with { Directory = settings.Hub.Data }).Validate());
        return new SettingsReading(settings, errors, path);
    }

    private static HubSettings Apply(HubSettings settings, IEnumerable<(string Key, SettingValue Value)> given, List<string> errors)
    {
        foreach (var (key, value) in given)
        {
            if (!AllSettings.ByKey.TryGetValue(key, out var setting))
            {
                errors.Add($"{value.Origin}: there is no setting {key}; docs/configuration.md lists them all");
                continue;
            }

            try
            {
                settings = setting.Apply(settings, value);
            }
            catch (SettingException wrong)
            {
                errors.Add($"{value.Origin}: {setting.Key} {wrong.Message}");
            }
        }

        return settings;
    }

    private static List<(string Key, SettingValue Value)> ReadFile(string path, List<string> errors)
    {
        var given = new List<(string, SettingValue)>();
        try
        {
            var options = new JsonDocumentOptions { CommentHandling = JsonCommentHandling.Skip, AllowTrailingCommas = true };
            using var document = JsonDocument.Parse(File.ReadAllBytes(path), options);
            if (document.RootElement.ValueKind == JsonValueKind.Object)
                Flatten(document.RootElement, prefix: "", path, given, errors);
            else
                errors.Add($"{path}: must be a JSON object of sections");
        }
        catch (JsonException malformed)
        {
            errors.Add($"{path}: not JSON at line {malformed.LineNumber + 1}, byte {malformed.BytePositionInLine + 1}");
        }
        catch (Exception unreadable) when (unreadable is IOException or UnauthorizedAccessException)
        {
            errors.Add($"{path}: cannot be read ({unreadable.Message})");
        }

        return given;
    }

    private static void Flatten(JsonElement section, string prefix, string path, List<(string Key, SettingValue Value)> given, List<string> errors)
    {
        var directory = Path.GetDirectoryName(path)!;
        foreach (var property in section.EnumerateObject())
        {
            if (prefix.Length == 0 && property.Name == "$schema")
                continue;

            var key = prefix + property.Name;
            if (property.Value.ValueKind == JsonValueKind.Object)
            {
                Flatten(property.Value, key + ":", path, given, errors);
                continue;
            }

            if (given.Exists(other => other.Key.Equals(key, StringComparison.OrdinalIgnoreCase)))
            {
                errors.Add($"{path}: {key} is given twice");
                continue;
            }

            var texts = property.Value.ValueKind == JsonValueKind.Array
                ? property.Value.EnumerateArray().Select(item => item.ToString()).ToArray()
                : [property.Value.ToString()];
            given.Add((key, new SettingValue(texts, path, directory)));
        }
    }
}
