using System.Diagnostics.CodeAnalysis;
using System.Text.Json;

namespace Sallyport.Hub.Access;

/// <summary>
/// Rights as people and Azure's tools write them: <c>RegistryRead, RegistryWrite, ServiceConnect, DeviceConnect</c> for Azure's
/// sets, and the names of single rights in kebab-case: <c>telemetry-read</c>, <c>registry-secrets</c>.
/// </summary>
public static class RightsText
{
    private static readonly (string Name, Rights Rights)[] Sets =
    [
        ("RegistryRead", AzureRights.RegistryRead),
        ("RegistryWrite", AzureRights.RegistryWrite),
        ("ServiceConnect", AzureRights.ServiceConnect),
        ("DeviceConnect", AzureRights.DeviceConnect),
    ];

    private static readonly (string Name, Rights Rights)[] Single =
        [.. Enum.GetValues<Rights>().Where(right => right is not Rights.None)
            .Select(right => (JsonNamingPolicy.KebabCaseLower.ConvertName(right.ToString()), right))];

    /// <summary>Every name that <see cref="TryParse"/> knows.</summary>
    public static IReadOnlyList<string> Names { get; } = [.. Sets.Select(set => set.Name), .. Single.Select(single => single.Name)];

    /// <summary>Azure's sets that are held whole, then the single rights that are in none of them; empty for <see cref="Rights.None"/>.</summary>
    public static string Format(Rights rights)
    {
        var names = new List<string>();
        var said = Rights.None;
        foreach (var (name, set) in Sets)
        {
            if ((rights & set) != set)
                continue;

            names.Add(name);
            said |= set;
        }

        names.AddRange(Single.Where(single => (rights & ~said & single.Rights) != 0).Select(single => single.Name));
        return string.Join(", ", names);
    }

    /// <summary>Reads names separated by commas, at least one; names of single rights and of sets may be mixed. Case-sensitive.</summary>
    /// <param name="problem">What is wrong, naming what is known; null when it was read.</param>
    public static bool TryParse(string text, out Rights rights, [NotNullWhen(false)] out string? problem)
    {
        rights = Rights.None;
        foreach (var part in text.Split(',', StringSplitOptions.TrimEntries))
        {
            var found = Sets.Concat(Single).FirstOrDefault(known => known.Name == part).Rights;
            if (found is Rights.None)
            {
                problem = $"rights are named, separated by commas, out of: {string.Join(", ", Names)}";
                return false;
            }

            rights |= found;
        }

        problem = null;
        return true;
    }
}
