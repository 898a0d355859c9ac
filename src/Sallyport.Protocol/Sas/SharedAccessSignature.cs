using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace Sallyport.Protocol.Sas;

/// <summary>
/// A parsed shared access signature: <c>SharedAccessSignature sr=…&amp;sig=…&amp;se=…[&amp;skn=…]</c>
/// (Azure IoT Hub, "Control access to IoT Hub using shared access signatures"). Parsing proves nothing:
/// ask <see cref="IsSignedWith"/>, <see cref="IsExpired"/> and <see cref="Covers"/>, all three.
/// Immutable; safe to share between threads.
/// </summary>
/// <remarks>
/// Grammar: <c>docs/protocols/sas-tokens.md</c>. Stricter than Azure where no SDK needs otherwise: every field once, no other
/// fields, printable ASCII, canonical base64, decimal expiry without leading zeros.
/// </remarks>
public sealed class SharedAccessSignature
{
    /// <summary>The authentication scheme that starts a token.</summary>
    public const string Scheme = "SharedAccessSignature";

    /// <summary>
    /// The greatest length of a token, in characters. Both ids at 128 characters, each character percent-encoded twice,
    /// behind the longest host name, come to less.
    /// </summary>
    public const int MaxLength = 4096;

    /// <summary>The greatest length of a policy name, in characters.</summary>
    public const int MaxPolicyNameLength = 64;

    private const int MacLength = HMACSHA256.HashSizeInBytes;

    /// <summary>253 ASCII characters of a DNS name and the longest path, decoded once, fit.</summary>
    private const int MaxResourceLength = 2048;

    /// <summary>The last second that <see cref="DateTimeOffset"/> can hold: 9999-12-31T23:59:59Z.</summary>
    private const long MaxUnixSeconds = 253_402_300_799;

    private readonly byte[] _signedText;
    private readonly byte[] _mac;
    private readonly SasResource _resource;
    private readonly long _expirySeconds;

    private SharedAccessSignature(byte[] signedText, byte[] mac, SasResource resource, long expirySeconds, string? policyName)
    {
        _signedText = signedText;
        _mac = mac;
        _resource = resource;
        _expirySeconds = expirySeconds;
        PolicyName = policyName;
    }

    /// <summary>
    /// How far the clocks of a client and the hub may be apart: 5 minutes, Azure IoT Hub's documented drift.
    /// A token is accepted until <c>se</c> plus this.
    /// </summary>
    public static TimeSpan ClockSkew { get; } = TimeSpan.FromMinutes(5);

    /// <summary>The policy whose key signed it (<c>skn</c>); null when a device or module signed with its own key.</summary>
    public string? PolicyName { get; }

    /// <summary>The host that <c>sr</c> starts with, as written.</summary>
    public string Host => _resource.Host;

    /// <summary><c>se</c>: when it ends, by the clock of whoever made it.</summary>
    public DateTimeOffset Expires => DateTimeOffset.FromUnixTimeSeconds(_expirySeconds);

    /// <summary>When it stops being accepted: <c>se</c> plus <see cref="ClockSkew"/>.</summary>
    public DateTimeOffset AcceptedUntil => _expirySeconds >= MaxUnixSeconds - (long)ClockSkew.TotalSeconds
        ? DateTimeOffset.MaxValue
        : DateTimeOffset.FromUnixTimeSeconds(_expirySeconds) + ClockSkew;

    /// <summary>
    /// The first 16 hex digits of the SHA-256 of the decoded signature: tells tokens apart in log and audit and cannot be used
    /// as a token.
    /// </summary>
    public string Fingerprint
    {
        get
        {
            Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
            SHA256.HashData(_mac, hash);
            return Convert.ToHexStringLower(hash[..8]);
        }
    }

    /// <summary>Reads a token as a client sent it. Never throws, whatever the text.</summary>
    /// <param name="text">The password field or Authorization header; null is refused like any other text.</param>
    /// <param name="reason">What is wrong with it, in words without any part of the text; empty when it was read.</param>
    public static SharedAccessSignature? TryParse(string? text, out string reason)
    {
        if (text is null)
            return Malformed("there is no token", out reason);
        if (text.Length > MaxLength)
            return Malformed("the token is longer than 4096 characters", out reason);
        if (!text.StartsWith(Scheme, StringComparison.OrdinalIgnoreCase) || text.Length <= Scheme.Length || text[Scheme.Length] != ' ')
            return Malformed("the token does not start with 'SharedAccessSignature '", out reason);

        ReadOnlySpan<char> fields = text.AsSpan(Scheme.Length + 1);
        if (fields.ContainsAnyExceptInRange('!', '~'))
            return Malformed("the token has a character that is not printable ASCII", out reason);

        ReadOnlySpan<char> sr = default, sig = default, se = default, skn = default;
        bool hasSr = false, hasSig = false, hasSe = false, hasSkn = false;
        foreach (var range in fields.Split('&'))
        {
            var field = fields[range];
            var equals = field.IndexOf('=');
            if (equals < 0)
                return Malformed("the token has a field without '='", out reason);

            var value = field[(equals + 1)..];
            var isNew = field[..equals] switch
            {
                "sr" => Take(ref hasSr, ref sr, value),
                "sig" => Take(ref hasSig, ref sig, value),
                "se" => Take(ref hasSe, ref se, value),
                "skn" => Take(ref hasSkn, ref skn, value),
                _ => (bool?)null,
            };
            if (isNew is null)
                return Malformed("the token has a field other than sr, sig, se and skn", out reason);
            if (isNew is false)
                return Malformed("the token has a field twice", out reason);
        }

        if (!hasSr || !hasSig || !hasSe)
            return Malformed("the token lacks one of sr, sig and se", out reason);
        if (!TryReadExpiry(se, out var expirySeconds))
            return Malformed("se is not a number of Unix seconds before the year 10000", out reason);
        if (TryReadMac(sig) is not { } mac)
            return Malformed("sig is not the canonical base64 of 32 bytes", out reason);
        if (TryReadResource(sr) is not { } resource)
            return Malformed("sr is not a host name and path without scheme", out reason);
        if (!TryReadPolicyName(skn, out var policyName))
            return Malformed("skn is not a policy name", out reason);

        var signedText = new byte[sr.Length + 1 + se.Length];
        Encoding.ASCII.GetBytes(sr, signedText);
        signedText[sr.Length] = (byte)'\n';
        Encoding.ASCII.GetBytes(se, signedText.AsSpan(sr.Length + 1));

        reason = "";
        return new SharedAccessSignature(signedText, mac, resource, expirySeconds, policyName);
    }

    /// <summary>
    /// Whether one of the two keys made the signature. Both are always tried and compared in constant time, so that the time
    /// taken does not tell which one, nor how much of it, was right.
    /// </summary>
    /// <param name="primaryKey">The decoded key; empty when there is none, which never matches.</param>
    /// <param name="secondaryKey">As <paramref name="primaryKey"/>.</param>
    public bool IsSignedWith(ReadOnlySpan<byte> primaryKey, ReadOnlySpan<byte> secondaryKey) =>
        IsMacOf(primaryKey) | IsMacOf(secondaryKey);

    /// <summary>Whether <c>se</c> plus <see cref="ClockSkew"/> is behind <paramref name="now"/>.</summary>
    public bool IsExpired(DateTimeOffset now) => now > AcceptedUntil;

    /// <summary>
    /// Whether the path of <c>sr</c> is, segment by segment, the beginning of <paramref name="path"/>: <c>devices/d1</c> covers
    /// <c>devices/d1/modules/m1</c> but not <c>devices/d10</c>; a bare host covers everything. Case-sensitive, as ids are.
    /// The caller compares <see cref="Host"/> with the names of the hub.
    /// </summary>
    /// <param name="path">Decoded, without leading slash: <c>devices/d1</c>.</param>
    /// <remarks>
    /// The C# SDK encodes the ids and then the whole <c>sr</c> again. In a token without <c>skn</c> a segment may therefore also be
    /// the encoded form of the segment that is asked for; in a policy's token it may not, because there the path is all that
    /// keeps a token made for one device from another.
    /// </remarks>
    public bool Covers(string path) => _resource.Covers(path, orEncoded: PolicyName is null);

    /// <summary>Makes the text of a token.</summary>
    /// <param name="resource">Decoded: a host, <c>host/devices/d1</c>, <c>host/devices/d1/modules/m1</c>.</param>
    /// <param name="key">Base64, as in a connection string.</param>
    /// <param name="expires">Cut to whole seconds.</param>
    /// <param name="policyName">The policy that <paramref name="key"/> belongs to; null for a device's or module's own key.</param>
    /// <exception cref="FormatException"><paramref name="key"/> is not base64.</exception>
    public static string Create(string resource, string key, DateTimeOffset expires, string? policyName = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(resource);
        ArgumentException.ThrowIfNullOrEmpty(key);

        var sr = Uri.EscapeDataString(resource);
        var se = expires.ToUnixTimeSeconds().ToString(CultureInfo.InvariantCulture);
        var keyBytes = Convert.FromBase64String(key);
        var mac = HMACSHA256.HashData(keyBytes, Encoding.ASCII.GetBytes($"{sr}\n{se}"));
        CryptographicOperations.ZeroMemory(keyBytes);
        var skn = policyName is null ? "" : $"&skn={Uri.EscapeDataString(policyName)}";
        return $"{Scheme} sr={sr}&sig={Uri.EscapeDataString(Convert.ToBase64String(mac))}&se={se}{skn}";
    }

    /// <summary>Names the token by its fingerprint; never prints it.</summary>
    public override string ToString() => $"token {Fingerprint}";

    private bool IsMacOf(ReadOnlySpan<byte> key)
    {
        Span<byte> expected = stackalloc byte[MacLength];
        HMACSHA256.HashData(key, _signedText, expected);
        return CryptographicOperations.FixedTimeEquals(expected, _mac) & !key.IsEmpty;
    }

    private static SharedAccessSignature? Malformed(string what, out string reason)
    {
        reason = what;
        return null;
    }

    private static bool Take(ref bool has, ref ReadOnlySpan<char> field, ReadOnlySpan<char> value)
    {
        if (has)
            return false;

        field = value;
        return has = true;
    }

    private static bool TryReadExpiry(ReadOnlySpan<char> text, out long unixSeconds)
    {
        unixSeconds = 0;
        return text.Length is > 0 and <= 12
            && !text.ContainsAnyExceptInRange('0', '9')
            && (text[0] != '0' || text.Length == 1)
            && long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out unixSeconds)
            && unixSeconds <= MaxUnixSeconds;
    }

    private static byte[]? TryReadMac(ReadOnlySpan<char> text)
    {
        const int base64Length = (MacLength + 2) / 3 * 4;
        Span<char> base64 = stackalloc char[base64Length];
        if (!PercentText.TryDecode(text, base64, out var length) || length != base64Length)
            return null;

        // Room for one byte more than a MAC has: 44 characters without padding are 33 bytes.
        Span<byte> bytes = stackalloc byte[MacLength + 1];
        if (!Convert.TryFromBase64Chars(base64, bytes, out var written) || written != MacLength)
            return null;

        // One text per signature: unused bits that are set, or white space, encode back differently.
        Span<char> canonical = stackalloc char[base64Length];
        return Convert.TryToBase64Chars(bytes[..MacLength], canonical, out _) && base64.SequenceEqual(canonical)
            ? bytes[..MacLength].ToArray()
            : null;
    }

    private static SasResource? TryReadResource(ReadOnlySpan<char> text)
    {
        Span<char> decoded = stackalloc char[MaxResourceLength];
        return PercentText.TryDecode(text, decoded, out var length) ? SasResource.TryParse(decoded[..length]) : null;
    }

    /// <summary>C devices over HTTP append an empty <c>skn=</c>: it means none.</summary>
    private static bool TryReadPolicyName(ReadOnlySpan<char> text, out string? name)
    {
        name = null;
        Span<char> decoded = stackalloc char[MaxPolicyNameLength];
        if (!PercentText.TryDecode(text, decoded, out var length))
            return false;

        if (length > 0)
            name = new string(decoded[..length]);
        return true;
    }
}
