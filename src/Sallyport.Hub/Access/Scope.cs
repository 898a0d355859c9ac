using System.Diagnostics.CodeAnalysis;
using System.Text;
using Sallyport.Protocol.Identities;

namespace Sallyport.Hub.Access;

/// <summary>
/// What rights are limited to: devices by the beginning of their ids, reading by consumer group. Immutable; thread-safe.
/// </summary>
public sealed class Scope
{
    /// <summary>Of each kind. A scope is asked for every event that its holder reads.</summary>
    public const int MaxNames = 16;

    private Scope(IReadOnlyList<string> devicePrefixes, IReadOnlyList<string> consumerGroups)
    {
        DevicePrefixes = devicePrefixes;
        ConsumerGroups = consumerGroups;
    }

    /// <summary>No limit.</summary>
    public static Scope Everything { get; } = new([], []);

    /// <summary>Empty for all devices.</summary>
    public IReadOnlyList<string> DevicePrefixes { get; }

    /// <summary>Empty for all consumer groups.</summary>
    public IReadOnlyList<string> ConsumerGroups { get; }

    public bool LimitsDevices => DevicePrefixes.Count > 0;

    /// <summary>Reads names as requests give them; doubled ones count once.</summary>
    /// <param name="problem">What is wrong, and what would be right; null when it was read.</param>
    public static bool TryCreate(
        IEnumerable<string> devicePrefixes, IEnumerable<string> consumerGroups, [NotNullWhen(true)] out Scope? scope, [NotNullWhen(false)] out string? problem)
    {
        string[] prefixes = [.. devicePrefixes.Distinct(StringComparer.Ordinal)], groups = [.. consumerGroups.Distinct(StringComparer.OrdinalIgnoreCase)];
        problem = prefixes.Length > MaxNames || groups.Length > MaxNames ? $"at most {MaxNames} device prefixes and {MaxNames} consumer groups"
            : !prefixes.All(prefix => Identity.IsValidId(prefix)) ? "a device prefix is the beginning of a device id: 1 to 128 of its characters"
            : !groups.All(Telemetry.ConsumerGroups.CanExist) ? $"a consumer group has {Telemetry.ConsumerGroups.NameSyntax}, or is {Telemetry.ConsumerGroups.Default}"
            : null;
        scope = problem is null ? new Scope(prefixes, groups) : null;
        return scope is not null;
    }

    /// <summary>From what <see cref="Stored"/> gave.</summary>
    public static Scope Of(string devicePrefixes, string consumerGroups) =>
        devicePrefixes.Length + consumerGroups.Length == 0 ? Everything : new(Names(devicePrefixes), Names(consumerGroups));

    /// <summary>A device or a module of it.</summary>
    public bool CoversDevice(ReadOnlySpan<char> deviceId)
    {
        foreach (var prefix in DevicePrefixes)
        {
            if (deviceId.StartsWith(prefix, StringComparison.Ordinal))
                return true;
        }

        return !LimitsDevices;
    }

    /// <inheritdoc cref="CoversDevice(ReadOnlySpan{char})"/>
    /// <param name="deviceId">In ASCII, as it is stored.</param>
    internal bool CoversDevice(ReadOnlySpan<byte> deviceId)
    {
        Span<char> text = stackalloc char[Identity.MaxIdLength];
        return !LimitsDevices || (deviceId.Length <= text.Length && Ascii.IsValid(deviceId) && Encoding.ASCII.TryGetChars(deviceId, text, out var length) && CoversDevice(text[..length]));
    }

    public bool CoversGroup(string consumerGroup) => ConsumerGroups.Count == 0 || ConsumerGroups.Contains(consumerGroup, StringComparer.OrdinalIgnoreCase);

    /// <summary>Whether whoever is limited to this may give it: the other is no wider.</summary>
    public bool Covers(Scope other) =>
        (!LimitsDevices || (other.LimitsDevices && other.DevicePrefixes.All(prefix => CoversDevice(prefix))))
        && (ConsumerGroups.Count == 0 || (other.ConsumerGroups.Count > 0 && other.ConsumerGroups.All(CoversGroup)));

    internal (string DevicePrefixes, string ConsumerGroups) Stored() => (string.Join(' ', DevicePrefixes), string.Join(' ', ConsumerGroups));

    private static string[] Names(string stored) => stored.Split(' ', StringSplitOptions.RemoveEmptyEntries);
}
