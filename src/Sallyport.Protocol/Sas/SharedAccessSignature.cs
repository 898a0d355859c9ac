using System.Buffers;
using System.Globalization;
using System.Runtime.CompilerServices;
using System.Security.Cryptography;
using System.Text;

namespace Sallyport.Protocol.Sas;

/// <summary>
/// A parsed shared access signature: <c>SharedAccessSignature sr=…&amp;sig=…&amp;se=…[&amp;skn=…]</c>
/// (Azure IoT Hub, "Control access to IoT Hub using shared access signatures"). Parsing proves nothing:
/// ask <see cref="IsSignedWith(ReadOnlySpan{byte}, ReadOnlySpan{byte})"/>, <see cref="IsExpired"/> and <see cref="Covers"/>, all three.
/// Immutable. Checking it allocates nothing: it looks into the text that it was read from.
/// </summary>
/// <remarks>
/// Grammar: <c>docs/protocols/sas-tokens.md</c>. Stricter than Azure where no SDK needs otherwise: every field once, no other
/// fields, printable ASCII, canonical base64, decimal expiry without leading zeros.
/// </remarks>
public readonly struct SharedAccessSignature
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

    private static readonly SearchValues<char> Printable = SearchValues.Create([.. Enumerable.Range('!', '~' - '!' + 1).Select(c => (char)c)]);
    private static readonly SearchValues<char> Digits = SearchValues.Create("0123456789");

    private const int MacLength = HMACSHA256.HashSizeInBytes;

    /// <summary>253 ASCII characters of a DNS name and the longest path, decoded once, fit.</summary>
    private const int MaxResourceLength = 2048;

    /// <summary>The last second that <see cref="DateTimeOffset"/> can hold: 9999-12-31T23:59:59Z.</summary>
    private const long MaxUnixSeconds = 253_402_300_799;

    private readonly string _text;
    private readonly Field _sr;
    private readonly Field _se;
    private readonly Field _skn;
    private readonly Mac _mac;
    private readonly long _expirySeconds;
    private readonly bool _hasScheme;

    private SharedAccessSignature(string text, Field sr, Field se, Field skn, in Mac mac, long expirySeconds, bool hasScheme)
    {
        _text = text;
        _sr = sr;
        _se = se;
        _skn = skn;
        _mac = mac;
        _expirySeconds = expirySeconds;
        _hasScheme = hasScheme;
    }

    /// <summary>
    /// How far the clocks of a client and the hub may be apart: 5 minutes, Azure IoT Hub's documented drift.
    /// A token is accepted until <c>se</c> plus this.
    /// </summary>
    public static TimeSpan ClockSkew { get; } = TimeSpan.FromMinutes(5);

    /// <summary>Whether it says that a policy's key signed it (<c>skn</c>), not a device's or module's own.</summary>
    public bool NamesPolicy => _skn.Length > 0;

    /// <summary>The policy whose key signed it; null when a device or module signed with its own key.</summary>
    public string? PolicyName => NamesPolicy ? ReadPolicyName(stackalloc char[MaxPolicyNameLength]).ToString() : null;

    /// <summary>
    /// Whether an Event Hubs client made it: a policy's token whose <c>sr</c> has a scheme. Such a client signs with the UTF-8 bytes of the key's
    /// <em>text</em>; every other token is signed with what that decodes to.
    /// </summary>
    public bool IsForEventHubs => _hasScheme && NamesPolicy;

    /// <summary>The host in <c>sr</c>, as written, without scheme and port.</summary>
    public string Host => ReadHost(stackalloc char[_sr.Length]).ToString();

    /// <summary>The path behind the host in <c>sr</c>, decoded once, without slash at either end; empty when there is none.</summary>
    public string Path => Resource(stackalloc char[_sr.Length]).Path.ToString();

    /// <summary><c>se</c>: when it ends, by the clock of whoever made it.</summary>
    public DateTimeOffset Expires => DateTimeOffset.FromUnixTimeSeconds(_expirySeconds);

    /// <summary>When it stops being accepted: <c>se</c> plus <see cref="ClockSkew"/>.</summary>
    public DateTimeOffset AcceptedUntil => _expirySeconds >= MaxUnixSeconds - (long)ClockSkew.TotalSeconds
        ? DateTimeOffset.MaxValue
        : DateTimeOffset.FromUnixTimeSeconds(_expirySeconds) + ClockSkew;

    /// <summary>Tells tokens apart in log and audit and cannot be used as a token.</summary>
    public TokenFingerprint Fingerprint => TokenFingerprint.Of(_mac);

    /// <summary>The longest buffer that <see cref="ReadHost"/> can need, in characters.</summary>
    public int ResourceLength => _sr.Length;

    /// <summary>The token without its signature: for people to read, good for nothing else.</summary>
    public string Masked => $"{Scheme} sr={_sr.In(_text)}&sig=***&se={_se.In(_text)}{(NamesPolicy ? $"&skn={_skn.In(_text)}" : "")}";

    /// <summary>Reads a token as a client sent it. Never throws, whatever the text.</summary>
    /// <param name="text">The password field or Authorization header; null is refused like any other text.</param>
    /// <param name="reason">What is wrong with it, in words without any part of the text; empty when it was read.</param>
    public static SharedAccessSignature? TryParse(string? text, out string reason) => TryParse(text, out reason, out _);

    /// <inheritdoc cref="TryParse(string?, out string)"/>
    /// <param name="at">Where in the text it is wrong, counted from 0; 0 when it was read.</param>
    public static SharedAccessSignature? TryParse(string? text, out string reason, out int at)
    {
        at = 0;
        if (text is null)
            return Malformed("there is no token", out reason);

        at = MaxLength;
        if (text.Length > MaxLength)
            return Malformed("the token is longer than 4096 characters", out reason);

        at = 0;
        if (!text.StartsWith(Scheme, StringComparison.OrdinalIgnoreCase) || text.Length <= Scheme.Length || text[Scheme.Length] != ' ')
            return Malformed("the token does not start with 'SharedAccessSignature '", out reason);

        const int start = 22; // Behind the scheme and its space.
        if (text.AsSpan(start).IndexOfAnyExcept(Printable) is >= 0 and var unprintable)
        {
            at = start + unprintable;
            return Malformed("the token has a character that is not printable ASCII", out reason);
        }

        Field sr = default, sig = default, se = default, skn = default;
        for (at = start; at <= text.Length;)
        {
            var length = text.AsSpan(at).IndexOf('&') is >= 0 and var ampersand ? ampersand : text.Length - at;
            var equals = text.AsSpan(at, length).IndexOf('=');
            if (equals < 0)
                return Malformed("the token has a field without '='", out reason);

            var value = new Field(at + equals + 1, length - equals - 1);
            var isNew = text.AsSpan(at, equals) switch
            {
                "sr" => Take(ref sr, value),
                "sig" => Take(ref sig, value),
                "se" => Take(ref se, value),
                "skn" => Take(ref skn, value),
                _ => (bool?)null,
            };
            if (isNew is null)
                return Malformed("the token has a field other than sr, sig, se and skn", out reason);
            if (isNew is false)
                return Malformed("the token has a field twice", out reason);

            at += length + 1;
        }

        at = text.Length;
        if (!sr.IsThere || !sig.IsThere || !se.IsThere)
            return Malformed("the token lacks one of sr, sig and se", out reason);

        at = se.Start;
        if (!TryReadExpiry(se.In(text), out var expirySeconds))
            return Malformed("se is not a number of Unix seconds before the year 10000", out reason);

        at = sig.Start;
        if (!TryReadMac(sig.In(text), out var mac))
            return Malformed("sig is not the canonical base64 of 32 bytes", out reason);

        at = sr.Start;
        if (!IsResource(sr.In(text), out var hasScheme))
            return Malformed("sr is not a host name and path, with one of the schemes sb, amqps, amqp and https or none", out reason);

        at = skn.Start;
        if (!IsPolicyName(skn.In(text)))
            return Malformed("skn is not a policy name", out reason);

        at = 0;
        reason = "";
        return new SharedAccessSignature(text, sr, se, skn, mac, expirySeconds, hasScheme);
    }

    /// <summary>Decodes the host into <paramref name="buffer"/>.</summary>
    /// <param name="buffer">At least <see cref="ResourceLength"/> characters.</param>
    public ReadOnlySpan<char> ReadHost(Span<char> buffer) => Resource(buffer).Host;

    /// <summary>Decodes the policy's name into <paramref name="buffer"/>; empty when there is none.</summary>
    /// <param name="buffer">At least <see cref="MaxPolicyNameLength"/> characters.</param>
    public ReadOnlySpan<char> ReadPolicyName(Span<char> buffer) => Decode(_skn, buffer);

    /// <summary>
    /// Whether one of the two keys made the signature. Each comparison takes constant time, and a wrong signature is compared with both:
    /// the time taken tells nobody how much of it was right. Who shows a right one may learn from it whether the first key fits.
    /// </summary>
    /// <param name="first">The decoded key that is tried first; empty when there is none, which never matches.</param>
    /// <param name="second">As <paramref name="first"/>.</param>
    public bool IsSignedWith(ReadOnlySpan<byte> first, ReadOnlySpan<byte> second) => IsSignedWith(first, second, out _);

    /// <inheritdoc cref="IsSignedWith(ReadOnlySpan{byte}, ReadOnlySpan{byte})"/>
    /// <param name="isFirst">Whether it was the first.</param>
    public bool IsSignedWith(ReadOnlySpan<byte> first, ReadOnlySpan<byte> second, out bool isFirst)
    {
        Span<byte> signedText = stackalloc byte[_sr.Length + 1 + _se.Length];
        Encoding.ASCII.GetBytes(_sr.In(_text), signedText);
        signedText[_sr.Length] = (byte)'\n';
        Encoding.ASCII.GetBytes(_se.In(_text), signedText[(_sr.Length + 1)..]);
        isFirst = IsMacOf(first, signedText);
        return isFirst || IsMacOf(second, signedText);
    }

    /// <summary>Whether <c>se</c> plus <see cref="ClockSkew"/> is behind <paramref name="now"/>.</summary>
    public bool IsExpired(DateTimeOffset now) => now > AcceptedUntil;

    /// <summary>
    /// Whether the path of <c>sr</c> is, segment by segment, the beginning of <paramref name="path"/>: <c>devices/d1</c> covers
    /// <c>devices/d1/modules/m1</c> but not <c>devices/d10</c>; a bare host covers everything. Case-sensitive, as ids are; not so
    /// for Event Hubs (<see cref="IsForEventHubs"/>), whose names are not and whose .NET client lower-cases them. The caller compares <see cref="Host"/> with the names of the hub.
    /// </summary>
    /// <param name="path">Decoded, without leading slash: <c>devices/d1</c>.</param>
    /// <remarks>
    /// The C# SDK encodes the ids and then the whole <c>sr</c> again. In a token without <c>skn</c> a segment may therefore also be
    /// the encoded form of the segment that is asked for; in a policy's token it may not, because there the path is all that
    /// keeps a token made for one device from another.
    /// </remarks>
    public bool Covers(string path) => Resource(stackalloc char[_sr.Length])
        .Covers(path, IsForEventHubs ? StringComparison.OrdinalIgnoreCase : StringComparison.Ordinal, orEncoded: !NamesPolicy);

    /// <summary>Makes the text of a token.</summary>
    /// <param name="resource">Decoded: a host, <c>host/devices/d1</c>, <c>host/devices/d1/modules/m1</c>.</param>
    /// <param name="key">Base64, as in a connection string.</param>
    /// <param name="expires">Cut to whole seconds.</param>
    /// <param name="policyName">The policy that <paramref name="key"/> belongs to; null for a device's or module's own key.</param>
    /// <exception cref="FormatException"><paramref name="key"/> is not base64.</exception>
    public static string Create(string resource, string key, DateTimeOffset expires, string? policyName = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(key);
        return Create(resource, Convert.FromBase64String(key), expires, policyName);
    }

    /// <summary>Makes the text of a token for the Event Hubs-compatible endpoint, which is signed with the key's text, see <see cref="IsForEventHubs"/>.</summary>
    /// <param name="resource">With scheme: <c>sb://host/events</c>.</param>
    /// <param name="key">As in a connection string.</param>
    /// <param name="expires">Cut to whole seconds.</param>
    public static string CreateForEventHubs(string resource, string key, DateTimeOffset expires, string policyName)
    {
        ArgumentException.ThrowIfNullOrEmpty(key);
        ArgumentException.ThrowIfNullOrEmpty(policyName);
        return Create(resource, Encoding.UTF8.GetBytes(key), expires, policyName);
    }

    private static string Create(string resource, byte[] key, DateTimeOffset expires, string? policyName)
    {
        ArgumentException.ThrowIfNullOrEmpty(resource);
        var sr = Uri.EscapeDataString(resource);
        var se = expires.ToUnixTimeSeconds().ToString(CultureInfo.InvariantCulture);
        var mac = HMACSHA256.HashData(key, Encoding.ASCII.GetBytes($"{sr}\n{se}"));
        CryptographicOperations.ZeroMemory(key);
        var skn = policyName is null ? "" : $"&skn={Uri.EscapeDataString(policyName)}";
        return $"{Scheme} sr={sr}&sig={Uri.EscapeDataString(Convert.ToBase64String(mac))}&se={se}{skn}";
    }

    /// <summary>Names the token by its fingerprint; never prints it.</summary>
    public override string ToString() => $"token {Fingerprint}";

    private bool IsMacOf(ReadOnlySpan<byte> key, ReadOnlySpan<byte> signedText)
    {
        Span<byte> expected = stackalloc byte[MacLength];
        HMACSHA256.HashData(key, signedText, expected);
        return CryptographicOperations.FixedTimeEquals(expected, _mac) & !key.IsEmpty;
    }

    // What was read decodes: TryParse has tried.
    private ReadOnlySpan<char> Decode(Field field, Span<char> buffer)
    {
        PercentText.TryDecode(field.In(_text), buffer, out var length);
        return buffer[..length];
    }

    private SasResource Resource(Span<char> buffer)
    {
        SasResource.TryRead(Decode(_sr, buffer), out var resource);
        return resource;
    }

    private static SharedAccessSignature? Malformed(string what, out string reason)
    {
        reason = what;
        return null;
    }

    private static bool Take(ref Field field, Field value)
    {
        if (field.IsThere)
            return false;

        field = value;
        return true;
    }

    private static bool TryReadExpiry(ReadOnlySpan<char> text, out long unixSeconds)
    {
        unixSeconds = 0;
        return text.Length is > 0 and <= 12
            && !text.ContainsAnyExcept(Digits)
            && (text[0] != '0' || text.Length == 1)
            && long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out unixSeconds)
            && unixSeconds <= MaxUnixSeconds;
    }

    private static bool TryReadMac(ReadOnlySpan<char> text, out Mac mac)
    {
        const int base64Length = (MacLength + 2) / 3 * 4;
        mac = default;
        Span<char> base64 = stackalloc char[base64Length];
        if (!PercentText.TryDecode(text, base64, out var length) || length != base64Length)
            return false;

        // Room for one byte more than a MAC has: 44 characters without padding are 33 bytes.
        Span<byte> bytes = stackalloc byte[MacLength + 1];
        if (!Convert.TryFromBase64Chars(base64, bytes, out var written) || written != MacLength)
            return false;

        // One text per signature: unused bits that are set, or white space, encode back differently.
        Span<char> canonical = stackalloc char[base64Length];
        bytes[..MacLength].CopyTo(mac);
        return Convert.TryToBase64Chars(bytes[..MacLength], canonical, out _) && base64.SequenceEqual(canonical);
    }

    private static bool IsResource(ReadOnlySpan<char> text, out bool hasScheme)
    {
        Span<char> decoded = stackalloc char[Math.Min(text.Length, MaxResourceLength)];
        hasScheme = false;
        if (!PercentText.TryDecode(text, decoded, out var length) || !SasResource.TryRead(decoded[..length], out var resource))
            return false;

        hasScheme = resource.HasScheme;
        return true;
    }

    /// <summary>C devices over HTTP append an empty <c>skn=</c>: it means none.</summary>
    private static bool IsPolicyName(ReadOnlySpan<char> text) => PercentText.TryDecode(text, stackalloc char[MaxPolicyNameLength], out _);

    /// <param name="Start">Of the value, in the text; never 0 of a field that is there.</param>
    private readonly record struct Field(int Start, int Length)
    {
        public bool IsThere => Start > 0;

        public ReadOnlySpan<char> In(string text) => text.AsSpan(Start, Length);
    }

    [InlineArray(MacLength)]
    private struct Mac
    {
        private byte _first;
    }
}
