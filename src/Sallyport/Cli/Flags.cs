using System.CommandLine;
using System.Globalization;

namespace Sallyport.Cli;

/// <summary>Options whose errors name the flag and say what it may be.</summary>
internal static class Flags
{
    public static Option<string> Text(string name, string valueName, string description, params string[] aliases) =>
        new(name, aliases) { HelpName = valueName, Description = description };

    public static Option<string> Required(string name, string valueName, string description, params string[] aliases) =>
        new(name, aliases) { HelpName = valueName, Description = description, Required = true };

    public static Option<bool> Switch(string name, string description, params string[] aliases) => new(name, aliases) { Description = description };

    /// <param name="otherwise">When the flag is not given; null: it has no default.</param>
    public static Option<string> Choice(string name, string description, IReadOnlyList<string> values, string? otherwise, params string[] aliases)
    {
        var option = new Option<string>(name, aliases)
        {
            HelpName = string.Join('|', values),
            Description = description,
            CustomParser = result =>
            {
                var given = result.Tokens[0].Value;
                var known = values.FirstOrDefault(value => string.Equals(value, given, StringComparison.OrdinalIgnoreCase));
                if (known is null)
                    result.AddError($"{name} is one of {string.Join(", ", values)}.");
                return known;
            },
        };
        if (otherwise is not null)
            option.DefaultValueFactory = _ => otherwise;
        option.CompletionSources.Add([.. values]);
        return option;
    }

    /// <summary>One or more values after one flag.</summary>
    /// <param name="problem">What is wrong with the values; null when nothing is.</param>
    public static Option<string[]> Several(string name, string valueName, string description, Func<IReadOnlyList<string>, string?> problem, params string[] aliases)
    {
        var option = new Option<string[]>(name, aliases) { HelpName = valueName, Description = description, AllowMultipleArgumentsPerToken = true };
        option.Validators.Add(given =>
        {
            var values = given.Tokens.Select(token => token.Value).ToList();
            // Taken for a value, because it is the name of no other flag.
            if (values.Find(value => value.StartsWith('-')) is { } mistyped)
                given.AddError($"Unrecognized command or argument '{mistyped}'.");
            else if (problem(values) is { } wrong)
                given.AddError($"{name}: {wrong}.");
        });
        return option;
    }

    /// <param name="otherwise">When the flag is not given; null: it has no default.</param>
    public static Option<long?> Number(string name, string valueName, string description, long min, long max, long? otherwise, params string[] aliases)
    {
        var option = new Option<long?>(name, aliases)
        {
            HelpName = valueName,
            Description = description,
            CustomParser = result =>
            {
                if (long.TryParse(result.Tokens[0].Value, NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number >= min && number <= max)
                    return number;

                result.AddError(max == long.MaxValue ? $"{name} is a number from {min} on." : $"{name} is a number from {min} to {max}.");
                return null;
            },
        };
        if (otherwise is not null)
            option.DefaultValueFactory = _ => otherwise;
        return option;
    }
}
