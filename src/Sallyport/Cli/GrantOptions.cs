using System.CommandLine;
using System.Text.Json.Nodes;
using Sallyport.Hub.Access;

namespace Sallyport.Cli;

/// <summary>The flags that say what somebody may do, and to what it is limited.</summary>
internal sealed class GrantOptions
{
    private readonly Option<string[]> _rights;

    private readonly Option<string[]> _devicePrefixes = Flags.Several(
        "--device-prefix", "PREFIX", "Only devices whose ids begin so, one or more; '' for all", given => Problem(given, [], []), "--dp");

    private readonly Option<string[]> _deviceTags = DeviceTags();

    private readonly Option<string[]> _consumerGroups = Flags.Several(
        "--consumer-group", "GROUP", "Only these consumer groups, one or more; '' for all", given => Problem([], [], given), "--cg");

    public GrantOptions(bool rightsRequired)
    {
        _rights = Flags.Several(
            "--permissions", "RIGHT", $"What it may do, one or more of {string.Join(", ", RightsText.Names)}",
            given => RightsText.TryParse(Joined(given), out _, out var problem) ? null : problem, "--rights");
        _rights.Required = rightsRequired;
    }

    public IEnumerable<Option> All => [_rights, _devicePrefixes, _deviceTags, _consumerGroups];

    /// <summary>What was given, as requests say it.</summary>
    public JsonObject Read(ParseResult parsed)
    {
        var grant = new JsonObject();
        if (parsed.GetValue(_rights) is { Length: > 0 } rights)
            grant["rights"] = Joined(rights);
        Add("devicePrefixes", parsed.GetValue(_devicePrefixes));
        Add("deviceTags", parsed.GetValue(_deviceTags));
        Add("consumerGroups", parsed.GetValue(_consumerGroups));
        return grant;

        void Add(string name, string[]? values)
        {
            if (values is { Length: > 0 })
                grant[name] = new JsonArray([.. Names(values).Select(value => JsonValue.Create(value))]);
        }
    }

    /// <summary>The flag for limits by tag.</summary>
    public static Option<string[]> DeviceTags() => Flags.Several(
        "--device-tag", "TAG=VALUE", "Only devices whose twin has this tag: site=berlin, or location.site=berlin for one inside another. One or more: any of the values of one tag, and so for each tag; '' for all",
        given => Problem([], given, []), "--dt");

    private static string? Problem(IReadOnlyList<string> devicePrefixes, IReadOnlyList<string> deviceTags, IReadOnlyList<string> consumerGroups) =>
        Scope.TryCreate(Names(devicePrefixes), Names(deviceTags), Names(consumerGroups), out _, out var problem) ? null : problem;

    /// <summary>What was given without the '' that stands for none.</summary>
    public static IEnumerable<string> Names(IEnumerable<string> given) => given.Where(name => name.Length > 0);

    private static string Joined(IReadOnlyList<string> rights) => string.Join(", ", rights.SelectMany(given => given.Split([',', ' '], StringSplitOptions.RemoveEmptyEntries)));
}
