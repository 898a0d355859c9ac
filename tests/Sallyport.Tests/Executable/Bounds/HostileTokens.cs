using System.Security.Cryptography;
using System.Text;

namespace Sallyport.Tests.Executable.Bounds;

/// <summary>Whose token is spoilt: a device's own, or a policy's that a service shows.</summary>
/// <param name="Key">Signs what is to be signed rightly.</param>
/// <param name="Suffix">Behind the other fields: <c>&amp;skn=…</c> of a policy.</param>
internal sealed record TokenMaker(string Key, string OtherKey, string Suffix, DateTimeOffset Now)
{
    public const string Resource = "localhost%2Fdevices%2Fd1";

    public string Se => At(TimeSpan.FromHours(1));

    public string Good => Of(Resource);

    public string Sig => Uri.EscapeDataString(Base64());

    public string At(TimeSpan fromNow) => ((long)(Now + fromNow - DateTimeOffset.UnixEpoch).TotalSeconds).ToString("d");

    /// <summary>A token whose signature is right for what it says.</summary>
    public string Of(string sr, string? se = null, string? key = null) => With($"sr={sr}&sig={Uri.EscapeDataString(Base64(sr, se, key))}&se={se ?? Se}");

    /// <summary>The good one with another signature.</summary>
    public string Signed(string sig) => With($"sr={Resource}&sig={sig}&se={Se}");

    public string With(string fields) => $"SharedAccessSignature {fields}{Suffix}";

    public string Base64(string sr = Resource, string? se = null, string? key = null) =>
        Convert.ToBase64String(HMACSHA256.HashData(Convert.FromBase64String(key ?? Key), Encoding.UTF8.GetBytes($"{sr}\n{se ?? Se}")));
}

/// <summary>A token that must not get in.</summary>
/// <param name="Reason">Part of the true reason; alternatives separated by a bar.</param>
/// <param name="Carried">Where it can be carried at all: HTTP has bounds and rules of its own for headers, MQTT for the length of a CONNECT.</param>
internal sealed record HostileToken(string Name, Func<TokenMaker, string> Make, string Reason, int Code = 401003, string Carried = "MQTT, HTTPS")
{
    private const string Scheme = "does not start with";
    private const string Printable = "not printable ASCII";
    private const string NoEquals = "field without '='";
    private const string Other = "field other than";
    private const string Twice = "field twice";
    private const string Lacks = "lacks one of";
    private const string Mac = "canonical base64 of 32 bytes";
    private const string Expiry = "se is not a number";
    private const string Sr = "sr is not a host name";
    private const string Skn = "skn is not a policy name";
    private const string Neither = "signed with neither the primary nor the secondary key";
    private const string Elsewhere = "made for another resource";
    private const string OtherHost = "made for another host";
    private const string Expired = "the token expired at";
    private const string Long = "longer than 4096 characters";

    public static IReadOnlyList<HostileToken> All { get; } =
    [
        // What is no token at all.
        new("empty", _ => "", "neither a token nor a certificate|no Authorization header"),
        new("scheme alone", _ => "SharedAccessSignature", Scheme),
        new("scheme and space", _ => "SharedAccessSignature ", $"{NoEquals}|{Scheme}"),
        new("Bearer", t => t.Good.Replace("SharedAccessSignature", "Bearer"), Scheme),
        new("Basic", _ => "Basic ZDE6c2VjcmV0", Scheme),
        new("a JWT", _ => "eyJhbGciOiJub25lIn0.eyJzdWIiOiJkMSJ9.", Scheme),
        new("the key itself", t => t.Key, Scheme),
        new("a connection string", t => $"HostName=localhost;DeviceId=d1;SharedAccessKey={t.Key}", Scheme),
        new("fields without scheme", t => t.Good["SharedAccessSignature ".Length..], Scheme),
        new("scheme cut", t => t.Good[1..], Scheme),
        new("scheme and colon", t => t.Good.Replace("Signature ", "Signature:"), Scheme),
        new("scheme and tab", t => t.Good.Replace("Signature ", "Signature\t"), Scheme),
        new("two spaces", t => t.Good.Replace("Signature ", "Signature  "), Printable),
        new("in quotes", t => $"\"{t.Good}\"", Scheme),
        new("encoded whole", t => Uri.EscapeDataString(t.Good), Scheme),
        new("backwards", t => string.Concat(t.Good.Reverse()), Scheme),

        // Fields.
        new("no sr", t => t.With($"sig={t.Sig}&se={t.Se}"), Lacks),
        new("no sig", t => t.With($"sr={TokenMaker.Resource}&se={t.Se}"), Lacks),
        new("no se", t => t.With($"sr={TokenMaker.Resource}&sig={t.Sig}"), Lacks),
        new("sr alone", t => t.With($"sr={TokenMaker.Resource}"), Lacks),
        new("sr twice", t => t.Good + $"&sr={TokenMaker.Resource}", Twice),
        new("sr twice, the second of another", t => t.Good + "&sr=localhost", Twice),
        new("sig twice", t => t.Good + $"&sig={t.Sig}", Twice),
        new("se twice", t => t.Good + $"&se={t.At(TimeSpan.FromDays(9))}", Twice),
        new("skn twice", t => t.With($"sr={TokenMaker.Resource}&sig={t.Sig}&se={t.Se}&skn=a") + "&skn=b", Twice),
        new("a field of its own", t => t.Good + "&admin=true", Other),
        new("SR", t => t.Good.Replace("sr=", "SR="), Other),
        new("Sig", t => t.Good.Replace("sig=", "Sig="), Other),
        new("sE", t => t.Good.Replace("&se=", "&sE="), Other),
        new("encoded name", t => t.Good.Replace("sr=", "%73r="), Other),
        new("field without value", t => t.Good.Replace("&se=", "&se&"), NoEquals),
        new("ampersand at the end", t => t.Good + "&", NoEquals),
        new("ampersand at the start", t => t.Good.Replace("sr=", "&sr="), NoEquals),
        new("two ampersands", t => t.Good.Replace("&sig", "&&sig"), NoEquals),
        new("semicolons", t => t.Good.Replace('&', ';'), $"{Lacks}|{NoEquals}"),
        new("encoded ampersands", t => t.Good.Replace("&", "%26"), Lacks),
        new("twice in a row", t => $"{t.Good} {t.Good}", Printable),
        new("twice with a comma", t => $"{t.Good},{t.Good}", $"{Printable}|{Expiry}"),
        new("cut in half", t => t.Good[..(t.Good.Length / 2)], $"{Lacks}|{NoEquals}"),

        // Signatures.
        new("sig empty", t => t.Signed(""), Mac),
        new("sig one short", t => t.Signed(t.Sig[..^4]), Mac),
        new("sig four short", t => t.Signed(Uri.EscapeDataString(t.Base64()[..^4])), Mac),
        new("sig without padding", t => t.Signed(Uri.EscapeDataString(t.Base64().TrimEnd('='))), Mac),
        new("sig with two paddings", t => t.Signed(Uri.EscapeDataString(t.Base64() + "=")), Mac),
        new("sig in URL base64", t => t.Signed("-_" + Uri.EscapeDataString(t.Base64()[2..])), Mac),
        new("sig with a space", t => t.Signed(Uri.EscapeDataString(t.Base64()[..^1] + " ")), Mac),
        new("sig with a line end", t => t.Signed(Uri.EscapeDataString(t.Base64()[..20] + "\n" + t.Base64()[20..])), Mac),
        new("sig with NUL", t => t.Signed(Uri.EscapeDataString(t.Base64()[..^1] + "\0")), Mac),
        new("sig not canonical", t => t.Signed(Uri.EscapeDataString(Uncanonical(t.Base64()))), Mac),
        new("sig of 31 bytes", t => t.Signed(Uri.EscapeDataString(Convert.ToBase64String(new byte[31]))), Mac),
        new("sig of 33 bytes", t => t.Signed(Uri.EscapeDataString(Convert.ToBase64String(new byte[33]))), Mac),
        new("sig of SHA-512", t => t.Signed(Uri.EscapeDataString(Convert.ToBase64String(HMACSHA512.HashData(Convert.FromBase64String(t.Key), Encoding.ASCII.GetBytes($"{TokenMaker.Resource}\n{t.Se}"))))), Mac),
        new("sig in hex", t => t.Signed(Convert.ToHexStringLower(Convert.FromBase64String(t.Base64()))), Mac),
        new("sig with a bad escape", t => t.Signed("%zz" + t.Sig[1..]), Mac),
        new("sig with a cut escape", t => t.Signed(t.Sig + "%2"), Mac),
        new("sig encoded twice", t => t.Signed(Uri.EscapeDataString(Uri.EscapeDataString(t.Base64()))), Mac),
        new("sig of zeros", t => t.Signed(Uri.EscapeDataString(Convert.ToBase64String(new byte[32]))), Neither),
        new("sig of ones", t => t.Signed(Uri.EscapeDataString(Convert.ToBase64String([.. Enumerable.Repeat((byte)0xff, 32)]))), Neither),
        new("one bit flipped", t => t.Signed(Uri.EscapeDataString(Convert.ToBase64String([.. Convert.FromBase64String(t.Base64()).Select((b, i) => i == 31 ? (byte)(b ^ 1) : b)]))), Neither),
        new("upside-down case", t => t.Signed(Uri.EscapeDataString(string.Concat(t.Base64()[..43].Select(c => char.IsUpper(c) ? char.ToLowerInvariant(c) : char.ToUpperInvariant(c))) + "=")), $"{Neither}|{Mac}"),
        new("key not decoded", t => t.Signed(Uri.EscapeDataString(Convert.ToBase64String(HMACSHA256.HashData(Encoding.ASCII.GetBytes(t.Key), Encoding.ASCII.GetBytes($"{TokenMaker.Resource}\n{t.Se}"))))), Neither),
        new("sr not encoded when signed", t => t.Signed(Uri.EscapeDataString(t.Base64("localhost/devices/d1"))), Neither),
        new("hash instead of MAC", t => t.Signed(Uri.EscapeDataString(Convert.ToBase64String(SHA256.HashData(Encoding.ASCII.GetBytes($"{TokenMaker.Resource}\n{t.Se}"))))), Neither),
        new("key of another", t => t.Of(TokenMaker.Resource, key: t.OtherKey), Neither),
        new("key of nobody", t => t.Of(TokenMaker.Resource, key: "d3Jvbmcga2V5IHdyb25nIGtleSB3cm9uZyBrZXkhIQ=="), Neither),
        new("empty key", t => t.Of(TokenMaker.Resource, key: ""), Neither),

        // Ends.
        new("se empty", t => t.Of(TokenMaker.Resource, ""), Expiry),
        new("se negative", t => t.Of(TokenMaker.Resource, "-1"), Expiry),
        new("se with a sign", t => t.Of(TokenMaker.Resource, "+" + t.Se), Expiry),
        new("se with a leading zero", t => t.Of(TokenMaker.Resource, "0" + t.Se), Expiry),
        new("se in hex", t => t.Of(TokenMaker.Resource, "0x7fffffff"), Expiry),
        new("se with a fraction", t => t.Of(TokenMaker.Resource, t.Se + ".5"), Expiry),
        new("se with an exponent", t => t.Of(TokenMaker.Resource, "2e9"), Expiry),
        new("se beyond 64 bits", t => t.Of(TokenMaker.Resource, "9223372036854775808"), Expiry),
        new("se of a thousand digits", t => t.Of(TokenMaker.Resource, new string('9', 1000)), Expiry),
        new("se in milliseconds", t => t.Of(TokenMaker.Resource, t.Se + "000"), Expiry),
        new("se in the year 10000", t => t.Of(TokenMaker.Resource, "253402300800"), Expiry),
        new("se encoded", t => t.Of(TokenMaker.Resource, "%31" + t.Se[1..]), Expiry),
        new("se as a date", t => t.Of(TokenMaker.Resource, "2099-01-01"), Expiry),
        new("se as a word", t => t.Of(TokenMaker.Resource, "Infinity"), Expiry),
        new("se of 1970", t => t.Of(TokenMaker.Resource, "0"), Expired),
        new("se beyond the skew", t => t.Of(TokenMaker.Resource, t.At(TimeSpan.FromSeconds(-330))), Expired),
        new("se of last year", t => t.Of(TokenMaker.Resource, t.At(TimeSpan.FromDays(-365))), Expired),
        new("se put off after signing", t => t.Good.Replace(t.Se, t.At(TimeSpan.FromDays(30))), Neither),

        // Resources.
        new("sr empty", t => t.Of(""), Sr),
        new("sr a slash", t => t.Of("%2F"), Sr),
        new("sr with a scheme of nobody", t => t.Of("http%3A%2F%2Flocalhost%2Fdevices%2Fd1"), Sr),
        new("sr with two slashes behind", t => t.Of(TokenMaker.Resource + "%2F%2F"), Sr),
        new("sr with an empty segment", t => t.Of("localhost%2F%2Fdevices%2Fd1"), Sr),
        new("sr with NUL", t => t.Of(TokenMaker.Resource + "%00"), Sr),
        new("sr with a space", t => t.Of(TokenMaker.Resource + "%20"), Sr),
        new("sr with an umlaut", t => t.Of(TokenMaker.Resource + "%C3%BC"), Sr),
        new("sr with a bad escape", t => t.Of(TokenMaker.Resource + "%zz"), Sr),
        new("sr of 3,000 characters", t => t.Of("localhost/" + new string('a', 3000)), Sr),
        new("another host", t => t.Of("other.test%2Fdevices%2Fd1"), OtherHost, 401001),
        new("host with a port that is none", t => t.Of("localhost%3A65536%2Fdevices%2Fd1"), Sr),
        new("host as an address", t => t.Of("127.0.0.1%2Fdevices%2Fd1"), OtherHost, 401001),
        new("host as a beginning", t => t.Of("localhost.evil.test%2Fdevices%2Fd1"), OtherHost, 401001),
        new("host as an end", t => t.Of("evil-localhost%2Fdevices%2Fd1"), OtherHost, 401001),
        new("host cut", t => t.Of("localhos%2Fdevices%2Fd1"), OtherHost, 401001),
        new("host with a dot behind", t => t.Of("localhost.%2Fdevices%2Fd1"), OtherHost, 401001),
        new("host with a user", t => t.Of("d1%40localhost%2Fdevices%2Fd1"), OtherHost, 401001),
        new("sr encoded twice", t => t.Of("localhost%252Fdevices%252Fd1"), OtherHost, 401001),
        new("another device", t => t.Of("localhost%2Fdevices%2Fbystander"), Elsewhere),
        new("prefix by character", t => t.Of("localhost%2Fdevices%2Fd"), Elsewhere),
        new("longer by a character", t => t.Of("localhost%2Fdevices%2Fd10"), Elsewhere),
        new("upper-case id", t => t.Of("localhost%2Fdevices%2FD1"), Elsewhere),
        new("upper-case path", t => t.Of("localhost%2FDevices%2Fd1"), Elsewhere),
        new("deeper", t => t.Of("localhost%2Fdevices%2Fd1%2Fmodules%2Fm1"), Elsewhere),
        new("dots", t => t.Of("localhost%2Fdevices%2Fbystander%2F..%2Fd1"), Elsewhere),
        new("a star", t => t.Of("localhost%2Fdevices%2F*"), Elsewhere),
        new("a hash", t => t.Of("localhost%2F%23"), Elsewhere),

        // Policies.
        new("a policy that is not there", t => t.Of(TokenMaker.Resource).Split("&skn")[0] + "&skn=nobody", "there is no such policy"),
        new("the owner's name in capitals", t => t.Of(TokenMaker.Resource).Split("&skn")[0] + "&skn=IOTHUBOWNER", "there is no such policy"),
        new("the owner's name over another key", t => t.Of(TokenMaker.Resource).Split("&skn")[0] + "&skn=iothubowner", Neither),
        new("skn of 65 characters", t => t.Of(TokenMaker.Resource).Split("&skn")[0] + "&skn=" + new string('a', 65), Skn),
        new("skn with NUL", t => t.Of(TokenMaker.Resource).Split("&skn")[0] + "&skn=device%00", Skn),
        new("skn with a space", t => t.Of(TokenMaker.Resource).Split("&skn")[0] + "&skn=iothub%20owner", Skn),

        // Text.
        new("5,000 characters", t => t.Good + "&" + new string('a', 5000), Long),
        new("64 KB", t => t.Good + "&" + new string('a', 64 * 1024), "", 0, "nowhere"),
        new("NUL in it", t => t.Good.Replace("&se", "\0&se"), Printable, Carried: "MQTT"),
        new("a line end in it", t => t.Good.Replace("&se", "\r\n&se"), Printable, Carried: "MQTT"),
        new("DEL in it", t => t.Good.Replace("&se", "\x7f&se"), Printable, Carried: "MQTT"),
        new("an umlaut in it", t => t.Good.Replace("devices", "dévices"), Printable, Carried: "MQTT"),
        new("a byte order mark", t => "\ufeff" + t.Good, Scheme, Carried: "MQTT"),
        new("full-width digits", t => t.Good.Replace("se=1", "se=\uff11"), Printable, Carried: "MQTT"),
    ];

    // The last character before the padding carries two bits that mean nothing.
    private static string Uncanonical(string base64)
    {
        const string alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        return base64[..^2] + alphabet[alphabet.IndexOf(base64[^2]) | 1] + "=";
    }
}
