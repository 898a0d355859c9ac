using System.Buffers;
using System.Runtime.InteropServices;
using System.Text.Json;
using Sallyport.Hub.Twins;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Twins;

namespace Sallyport.Hub.Configurations;

/// <summary>Whose desired properties a content is about.</summary>
internal enum ContentKind
{
    /// <summary><c>deviceContent</c>: devices.</summary>
    Device,

    /// <summary><c>moduleContent</c>: modules.</summary>
    Module,

    /// <summary><c>modulesContent</c>: named modules of edge devices.</summary>
    Edge,
}

/// <summary>What is set in one place of desired properties. Immutable.</summary>
/// <param name="Names">From the root; empty for all desired properties.</param>
/// <param name="Value">Without null.</param>
internal sealed record Setting(string[] Names, TwinNode Value)
{
    /// <summary>Names have no dot, so this says which place it is.</summary>
    public string Path => string.Join('.', Names);

    /// <summary>It is, or is inside of, the other place.</summary>
    public bool IsWithin(Setting other) => Names.Length >= other.Names.Length && Names.AsSpan(0, other.Names.Length).SequenceEqual(other.Names);
}

/// <summary>The content of a configuration, read and checked. Immutable; thread-safe.</summary>
internal sealed class ConfigurationContent
{
    /// <summary>Modules that a deployment may name. IoT Hub's.</summary>
    public const int MaxModules = 50;

    /// <summary>Its desired properties are what the runtime of an edge device does.</summary>
    public const string EdgeAgent = "$edgeAgent";

    private const string Desired = "properties.desired";

    private ConfigurationContent(ContentKind kind, byte[] json, IReadOnlyDictionary<string, IReadOnlyList<Setting>> settings)
    {
        Kind = kind;
        Json = json;
        Settings = settings;
    }

    public ContentKind Kind { get; }

    /// <summary>UTF-8: an object with one member, <c>deviceContent</c>, <c>moduleContent</c> or <c>modulesContent</c>.</summary>
    public byte[] Json { get; }

    /// <summary>By module; of other content there is one entry, with no name.</summary>
    public IReadOnlyDictionary<string, IReadOnlyList<Setting>> Settings { get; }

    /// <summary>Of a deployment: it says all that the runtime does; else it is a layer upon one that does.</summary>
    public bool IsBase => Settings.TryGetValue(EdgeAgent, out var agent) && agent.Any(setting => setting.Names.Length == 0);

    /// <exception cref="HubException">400: it is none; says where.</exception>
    public static ConfigurationContent Read(JsonElement content)
    {
        if (content.ValueKind is not JsonValueKind.Object)
            throw Wrong("content", "an object is needed");

        (string Name, ContentKind Kind)[] known = [("deviceContent", ContentKind.Device), ("moduleContent", ContentKind.Module), ("modulesContent", ContentKind.Edge)];
        var given = known.Where(one => content.TryGetProperty(one.Name, out var value) && value.ValueKind is not JsonValueKind.Null).ToList();
        if (given.Count != 1)
            throw Wrong("content", "one of deviceContent, moduleContent and modulesContent is needed, and no other beside it");

        var (name, kind) = given[0];
        var (part, at) = (content.GetProperty(name), $"content.{name}");
        if (part.ValueKind is not JsonValueKind.Object)
            throw Wrong(at, "an object is needed");

        var json = TwinJson.Write(1024, writer =>
        {
            writer.WriteStartObject();
            writer.WritePropertyName(name);
            part.WriteTo(writer);
            writer.WriteEndObject();
        });
        if (json.Length > ConfigurationOptions.MaxContentBytes)
            throw Wrong("content", $"has {json.Length} bytes of JSON; at most {ConfigurationOptions.MaxContentBytes} are allowed");
        return new ConfigurationContent(kind, json, kind is ContentKind.Edge ? OfModules(part, at) : new Dictionary<string, IReadOnlyList<Setting>> { [""] = SettingsOf(part, at) });
    }

    /// <param name="stored"><see cref="Json"/>.</param>
    public static ConfigurationContent Of(byte[] stored)
    {
        using var document = JsonDocument.Parse(stored);
        return Read(document.RootElement);
    }

    /// <summary>Whether they say the same, whatever the order of members.</summary>
    public bool SaysWhat(byte[] stored)
    {
        using var mine = JsonDocument.Parse(Json);
        using var other = JsonDocument.Parse(stored);
        return JsonElement.DeepEquals(mine.RootElement, other.RootElement);
    }

    private static Dictionary<string, IReadOnlyList<Setting>> OfModules(JsonElement modules, string at)
    {
        var settings = new Dictionary<string, IReadOnlyList<Setting>>(StringComparer.Ordinal);
        foreach (var module in modules.EnumerateObject())
        {
            if (!Identity.IsValidId(module.Name) || module.Name is "." or "..")
                throw Wrong(at, "the name of a member is no module's id");
            if (module.Value.ValueKind is not JsonValueKind.Object)
                throw Wrong($"{at}.{module.Name}", "an object is needed");
            if (settings.Count == MaxModules)
                throw Wrong(at, $"more than {MaxModules} modules");
            settings.Add(module.Name, SettingsOf(module.Value, $"{at}.{module.Name}"));
        }

        return settings;
    }

    private static List<Setting> SettingsOf(JsonElement part, string at)
    {
        List<Setting> settings = [];
        foreach (var member in part.EnumerateObject())
        {
            if (settings.Count == ConfigurationOptions.MaxPaths)
                throw Wrong(at, $"more than {ConfigurationOptions.MaxPaths} paths");

            var setting = SettingOf(member, at);
            if (settings.Find(other => other.IsWithin(setting) || setting.IsWithin(other)) is { } same)
                throw Wrong(at, $"{Desired}{(same.Names.Length == 0 ? "" : "." + Printed(same.Path))} and {Printed(member.Name)} are in one another: say it in one of them");
            settings.Add(setting);
        }

        var whole = settings.Aggregate(TwinNode.Empty, (root, setting) => TwinPaths.With(root, setting.Names, setting.Value));
        try
        {
            TwinSection.Within(whole, TwinLimits.Desired);
        }
        catch (HubException tooLarge)
        {
            throw Wrong(at, tooLarge.Message);
        }

        return settings;
    }

    // By the rules of twins, at its place in the twin, which is what their errors name.
    private static Setting SettingOf(JsonProperty member, string at)
    {
        if (member.Name != Desired && !member.Name.StartsWith(Desired + ".", StringComparison.Ordinal))
            throw Wrong(at, $"found '{Printed(member.Name)}'; expected {Desired}, or a path that begins with {Desired}.");

        var names = member.Name == Desired ? [] : member.Name[(Desired.Length + 1)..].Split('.');
        if (names.Contains(""))
            throw Wrong(at, $"'{Printed(member.Name)}' has an empty name between its dots");
        if (member.Value.ValueKind is JsonValueKind.Null || (names.Length == 0 && member.Value.ValueKind is not JsonValueKind.Object))
            throw Wrong($"{at}, {Printed(member.Name)}", names.Length == 0 ? "an object is needed" : "a value is needed, and null is none");

        var text = new ArrayBufferWriter<byte>(256);
        using (var json = new Utf8JsonWriter(text, TwinJson.Options))
        {
            foreach (var name in names)
            {
                json.WriteStartObject();
                json.WritePropertyName(name);
            }

            json.WriteRawValue(JsonMarshal.GetRawUtf8Value(member.Value), skipInputValidation: true);
            for (var i = 0; i < names.Length; i++)
                json.WriteEndObject();
        }

        try
        {
            // What export-modules writes has the hub's own members.
            var value = TwinReader.Read(text.WrittenSpan, TwinLimits.Desired, ignoresHubNames: names.Length == 0);
            foreach (var name in names)
                value = value[name]!;
            return new Setting(names, TwinNode.Merge(null, value, default));
        }
        catch (HubException wrong)
        {
            throw Wrong(at, wrong.Message);
        }
    }

    private static string Printed(string text) => new([.. text.Take(128).Select(c => char.IsControl(c) || char.IsSurrogate(c) ? '?' : c)]);

    private static HubException Wrong(string at, string what) => new(HubErrors.ArgumentInvalid, $"{at}: {what}");
}
