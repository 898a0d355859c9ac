using System.Globalization;
using System.Text.Json.Nodes;

namespace Sallyport.Settings;

/// <summary>One key that may be set: how it is read, shown and described. Immutable.</summary>
/// <param name="Key">Section and name, for example <c>Listeners:HttpsPort</c>.</param>
/// <param name="Description">Unit, range, meaning of null and the default, for the schema and <c>docs/configuration.md</c>.</param>
/// <param name="Shape">Its JSON schema without the description.</param>
/// <param name="Apply">Puts a value (one text, or several for a list) into the settings.</param>
/// <param name="Show">The value in force.</param>
internal sealed record Setting(
    string Key, string Description, JsonObject Shape, Func<HubSettings, SettingValue, HubSettings> Apply, Func<HubSettings, JsonNode?> Show)
{
    /// <summary>Of a setting that loosens a defence: whether and how it is switched on. Null for every other one.</summary>
    public Func<HubSettings, InsecureSwitch?>? Loosens { get; init; }

    /// <summary>Changes are picked up while the hub runs.</summary>
    public bool IsLive { get; init; }

    public bool IsList => Shape["type"] is JsonValue type && type.GetValue<string>() == "array";

    public string Section => Key[..Key.IndexOf(':', StringComparison.Ordinal)];

    public string Name => Key[(Key.IndexOf(':', StringComparison.Ordinal) + 1)..];

    public static Setting Whole(string key, long min, long max, string description, Func<HubSettings, long, HubSettings> set, Func<HubSettings, long?> get) =>
        new(key, description, new JsonObject { ["type"] = "integer", ["minimum"] = min, ["maximum"] = max },
            (settings, value) => long.TryParse(value.Text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number) && number >= min && number <= max
                ? set(settings, number)
                : throw new SettingException($"must be a whole number from {min} to {max}"),
            settings => get(settings));

    public static Setting Switch(string key, string description, Func<HubSettings, bool, HubSettings> set, Func<HubSettings, bool> get) =>
        new(key, description, new JsonObject { ["type"] = "boolean" },
            (settings, value) => bool.TryParse(value.Text, out var on) ? set(settings, on) : throw new SettingException("must be true or false"),
            settings => get(settings));

    /// <summary>A loosened defence: its name begins with <c>Insecure</c>, and <c>docs/insecure-switches.md</c> says what it costs.</summary>
    public static Setting Insecure(string key, string description, Func<HubSettings, InsecureSwitch?, HubSettings> set, Func<HubSettings, InsecureSwitch?> get) =>
        new(key, description, new JsonObject { ["type"] = new JsonArray("boolean", "string") },
            (settings, value) => InsecureSwitch.TryParse(value.Text, out var on) ? set(settings, on) : throw new SettingException($"must be {InsecureSwitch.Syntax}"),
            settings => get(settings)?.ToString() ?? "false")
        {
            Loosens = get,
        };

    public static Setting Text(string key, string description, Func<HubSettings, string, HubSettings> set, Func<HubSettings, string?> get) =>
        new(key, description, new JsonObject { ["type"] = "string" },
            (settings, value) => value.Text.Length > 0 ? set(settings, value.Text) : throw new SettingException("must not be empty"),
            settings => get(settings));

    /// <summary>A path; in <c>sallyport.json</c> it is relative to that file, elsewhere to the current directory.</summary>
    public static Setting Path(string key, string description, Func<HubSettings, string, HubSettings> set, Func<HubSettings, string?> get) =>
        new(key, description, new JsonObject { ["type"] = "string" },
            (settings, value) => value.Text.Length > 0
                ? set(settings, System.IO.Path.GetFullPath(value.Text, value.BaseDirectory))
                : throw new SettingException("must not be empty"),
            settings => get(settings));

    public static Setting Choice<T>(string key, string description, Func<HubSettings, T, HubSettings> set, Func<HubSettings, T> get)
        where T : struct, Enum
    {
        var names = Enum.GetNames<T>();
        return new(key, description, new JsonObject { ["type"] = "string", ["enum"] = new JsonArray([.. names.Select(name => (JsonNode)name)]) },
            (settings, value) => names.Contains(value.Text, StringComparer.OrdinalIgnoreCase)
                ? set(settings, Enum.Parse<T>(value.Text, ignoreCase: true))
                : throw new SettingException($"must be one of {string.Join(", ", names)}"),
            settings => get(settings).ToString());
    }

    public static Setting Texts(string key, string description, Func<HubSettings, IReadOnlyList<string>, HubSettings> set, Func<HubSettings, IReadOnlyList<string>> get) =>
        new(key, description, new JsonObject { ["type"] = "array", ["items"] = new JsonObject { ["type"] = "string" } },
            (settings, value) => set(settings, value.Texts),
            settings => new JsonArray([.. get(settings).Select(text => (JsonNode)text)]));
}

/// <summary>What somebody wrote for a key.</summary>
/// <param name="Texts">One, or several for a list.</param>
/// <param name="Origin">Where it was written, for error messages.</param>
/// <param name="BaseDirectory">What a relative path in it is relative to.</param>
internal sealed record SettingValue(IReadOnlyList<string> Texts, string Origin, string BaseDirectory)
{
    public string Text => Texts.Count == 1 ? Texts[0] : throw new SettingException("must be one value, not a list");
}

/// <summary>What is wrong with a value, to follow its key: <c>must be …</c>.</summary>
internal sealed class SettingException(string message) : Exception(message);
