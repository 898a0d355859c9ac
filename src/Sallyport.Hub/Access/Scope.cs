using System.Diagnostics.CodeAnalysis;
using System.Text;
using Sallyport.Protocol.Identities;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Access;

/// <summary>
/// What rights are limited to: devices by the beginning of their ids and by tags of their twins, reading by consumer group. Whether a device is
/// covered is decided here and nowhere else, by the tags that it has at that moment. Immutable; thread-safe.
/// </summary>
public sealed class Scope
{
    /// <summary>Of each kind. A scope is asked for every event that its holder reads.</summary>
    public const int MaxNames = 16;

    private readonly TagLimit _tagLimit;

    // Whom to ask which tags a device has; while there is nobody, no device is within a limit by tag.
    private readonly KnownTags? _tags;

    private Scope(IReadOnlyList<string> devicePrefixes, TagLimit tagLimit, IReadOnlyList<string> consumerGroups, KnownTags? tags = null)
    {
        DevicePrefixes = devicePrefixes;
        _tagLimit = tagLimit;
        ConsumerGroups = consumerGroups;
        _tags = tags;
    }

    /// <summary>No limit.</summary>
    public static Scope Everything { get; } = new([], TagLimit.None, []);

    /// <summary>Empty for all devices.</summary>
    public IReadOnlyList<string> DevicePrefixes { get; }

    /// <summary>Of one tag any of the values, and so for each of the tags; empty for all devices.</summary>
    public IReadOnlyList<DeviceTag> DeviceTags => _tagLimit.Tags;

    /// <summary>Empty for all consumer groups.</summary>
    public IReadOnlyList<string> ConsumerGroups { get; }

    public bool LimitsDevices => DevicePrefixes.Count > 0 || _tagLimit.Tags.Count > 0;

    /// <summary>Reads names as requests give them; doubled ones count once.</summary>
    /// <param name="devicePrefixes">JSON may put null among them: that is no name.</param>
    /// <param name="deviceTags">Each as <see cref="DeviceTag.Syntax"/> says.</param>
    /// <param name="problem">What is wrong, and what would be right; null when it was read.</param>
    public static bool TryCreate(
        IEnumerable<string> devicePrefixes, IEnumerable<string> deviceTags, IEnumerable<string> consumerGroups,
        [NotNullWhen(true)] out Scope? scope, [NotNullWhen(false)] out string? problem)
    {
        string[] prefixes = [.. devicePrefixes.Distinct(StringComparer.Ordinal)], tags = [.. deviceTags.Distinct(StringComparer.Ordinal)];
        string[] groups = [.. consumerGroups.Distinct(StringComparer.OrdinalIgnoreCase)];
        var read = tags.Select(text => DeviceTag.TryParse(text, out var tag) ? tag : null).ToList();
        problem = prefixes.Length > MaxNames || tags.Length > MaxNames || groups.Length > MaxNames ? $"at most {MaxNames} device prefixes, {MaxNames} device tags and {MaxNames} consumer groups"
            : !prefixes.All(prefix => Identity.IsValidId(prefix)) ? "a device prefix is the beginning of a device id: 1 to 128 of its characters"
            : read.Contains(null) ? $"a device tag is {DeviceTag.Syntax}"
            : !groups.All(group => group is not null && Telemetry.ConsumerGroups.CanExist(group)) ? $"a consumer group has {Telemetry.ConsumerGroups.NameSyntax}, or is {Telemetry.ConsumerGroups.Default}"
            : null;
        scope = problem is null ? new Scope(prefixes, new TagLimit([.. read.OfType<DeviceTag>()]), groups) : null;
        return scope is not null;
    }

    /// <summary>From what is stored of a policy or an operator; for being compared and shown: see <see cref="Asking"/>.</summary>
    public static Scope Of(PolicyRecord record) => Of(record.DevicePrefixes, record.DeviceTags, record.ConsumerGroups);

    /// <summary>From what is stored of a certificate authority; for being compared and shown: see <see cref="Asking"/>.</summary>
    public static Scope Of(CertificateAuthorityRecord record) => Of(record.IdPrefix, record.DeviceTags, "");

    /// <summary>The same for whoever acts by it: it asks which tags a device has. Without that, nothing is within a limit by tag.</summary>
    public Scope Asking(KnownTags tags) => DeviceTags.Count == 0 ? this : new(DevicePrefixes, _tagLimit, ConsumerGroups, tags);

    /// <summary>A device or a module of it. Reads the store when it is limited by tag and what the device's tags are is not remembered.</summary>
    public bool CoversDevice(ReadOnlySpan<char> deviceId) =>
        CoversPrefix(deviceId) && (_tagLimit.Tags.Count == 0 || _tags?.AreWithin(_tagLimit, deviceId) is true);

    /// <inheritdoc cref="CoversDevice(ReadOnlySpan{char})"/>
    /// <param name="deviceId">In ASCII, as it is stored.</param>
    internal bool CoversDevice(ReadOnlySpan<byte> deviceId)
    {
        Span<char> text = stackalloc char[Identity.MaxIdLength];
        return !LimitsDevices || (deviceId.Length <= text.Length && Ascii.IsValid(deviceId) && Encoding.ASCII.TryGetChars(deviceId, text, out var length) && CoversDevice(text[..length]));
    }

    /// <summary>The same by the tags that are given, for whoever has just read them: what is remembered of a device follows behind a commit.</summary>
    /// <param name="tags">Of the device: UTF-8 JSON, an object.</param>
    internal bool CoversDevice(ReadOnlySpan<char> deviceId, ReadOnlySpan<byte> tags) =>
        CoversPrefix(deviceId) && (_tagLimit.Tags.Count == 0 || _tagLimit.Allows(tags));

    public bool CoversGroup(string consumerGroup) => ConsumerGroups.Count == 0 || ConsumerGroups.Contains(consumerGroup, StringComparer.OrdinalIgnoreCase);

    /// <summary>Whether whoever is limited to this may give it: the other is no wider.</summary>
    public bool Covers(Scope other) =>
        (DevicePrefixes.Count == 0 || (other.DevicePrefixes.Count > 0 && other.DevicePrefixes.All(prefix => CoversPrefix(prefix))))
        && _tagLimit.Covers(other._tagLimit)
        && (ConsumerGroups.Count == 0 || (other.ConsumerGroups.Count > 0 && other.ConsumerGroups.All(CoversGroup)));

    /// <summary>As records have it.</summary>
    internal (string DevicePrefixes, string DeviceTags, string ConsumerGroups) Stored() =>
        (string.Join(' ', DevicePrefixes), _tagLimit.Text, string.Join(' ', ConsumerGroups));

    /// <summary>From what <see cref="Stored"/> gave.</summary>
    internal static Scope Of(string devicePrefixes, string deviceTags, string consumerGroups) =>
        devicePrefixes.Length + deviceTags.Length + consumerGroups.Length == 0 ? Everything : new(Names(devicePrefixes), TagLimit.Of(deviceTags), Names(consumerGroups));

    private bool CoversPrefix(ReadOnlySpan<char> deviceId)
    {
        foreach (var prefix in DevicePrefixes)
        {
            if (deviceId.StartsWith(prefix, StringComparison.Ordinal))
                return true;
        }

        return DevicePrefixes.Count == 0;
    }

    private static string[] Names(string stored) => stored.Split(' ', StringSplitOptions.RemoveEmptyEntries);
}
