using System.Globalization;
using System.Net;
using System.Security.Cryptography;
using System.Text;
using Sallyport.Protocol.Sas;

namespace Sallyport.Tests.Protocol.Sas;

public sealed class SharedAccessSignatureTests
{
    private const long Se = 1_800_000_000;
    private static readonly byte[] Key = Encoding.ASCII.GetBytes("0123456789abcdef0123456789abcdef");
    private static readonly byte[] OtherKey = Encoding.ASCII.GetBytes("fedcba9876543210fedcba9876543210");
    private static readonly DateTimeOffset Expiry = DateTimeOffset.FromUnixTimeSeconds(Se);

    // What each client writes for device d1 of hub.test: order of fields, hex case and encoding differ.
    [Theory]
    [InlineData("sr=hub.test%2Fdevices%2Fd1&sig={S}&se=1800000000")] // Python
    [InlineData("sr=hub.test%2fdevices%2fd1&sig={s}&se=1800000000")] // lower-case hex
    [InlineData("sr=hub.test/devices/d1&sig={s}&se=1800000000&skn=")] // C over HTTP
    [InlineData("se=1800000000&sig={S}&sr=HUB.test%2Fdevices%2Fd1")]
    [InlineData("sr=hub.test&sig={S}&se=1800000000")] // Go
    [InlineData("sig={raw}&se=1800000000&sr=hub.test%2Fdevices")]
    public void TryParse_WhatClientsWrite_IsRead(string fields)
    {
        var token = Parse(Sign(fields))!.Value;

        Assert.True(token.IsSignedWith(Key, OtherKey));
        Assert.True(token.IsSignedWith(OtherKey, Key));
        Assert.True(token.IsSignedWith(default, Key));
        Assert.False(token.IsSignedWith(OtherKey, OtherKey));
        Assert.True(token.Covers("devices/d1"));
        Assert.Null(token.PolicyName);
        Assert.Equal("hub.test", token.Host, ignoreCase: true);
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("SharedAccessSignature")]
    [InlineData("SharedAccessSignature ")]
    [InlineData("Bearer sr=a&sig={S}&se=1800000000")]
    [InlineData("SharedAccessSignature  sr=a&sig={S}&se=1800000000")]
    public void TryParse_NotAToken_IsRefused(string? text)
    {
        text = text?.Replace("{S}", Uri.EscapeDataString(Mac("a", "1800000000")), StringComparison.Ordinal);

        Assert.Null(SharedAccessSignature.TryParse(text, out var reason));
        Assert.NotEmpty(reason);
    }

    [Theory]
    [InlineData("sr=hub&sig={S}")]
    [InlineData("sr=hub&se=1800000000")]
    [InlineData("sig={S}&se=1800000000")]
    [InlineData("sr=hub&sig={S}&se=1800000000&sr=hub")]
    [InlineData("sr=hub&sig={S}&se=1800000000&sig={S}")]
    [InlineData("sr=hub&sig={S}&se=1800000000&se=1800000000")]
    [InlineData("sr=hub&sig={S}&se=1800000000&skn=&skn=owner")]
    [InlineData("sr=hub&sig={S}&se=1800000000&x=1")]
    [InlineData("sr=hub&sig={S}&se=1800000000&SKN=owner")]
    [InlineData("sr=hub&sig={S}&se=1800000000&")]
    [InlineData("sr=hub&&sig={S}&se=1800000000")]
    [InlineData("sr=hub&sig={S}&se=1800000000&skn")]
    public void TryParse_MissingDoubledOrUnknownField_IsRefused(string fields) => AssertRefused(Sign(fields));

    [Theory]
    [InlineData("")]
    [InlineData("-1")]
    [InlineData("+1800000000")]
    [InlineData("01800000000")]
    [InlineData("1e9")]
    [InlineData("1800000000.0")]
    [InlineData("1,800,000,000")]
    [InlineData("0x6B49D200")]
    [InlineData("%31800000000")]
    [InlineData("253402300800")] // year 10000
    [InlineData("9223372036854775808")]
    [InlineData("99999999999999999999999999")]
    [InlineData("١٨٠٠٠٠٠٠٠٠")] // Arabic-Indic digits
    public void TryParse_ExpiryThatIsNotPlainSeconds_IsRefused(string se)
    {
        AssertRefused($"SharedAccessSignature sr=hub&sig={Uri.EscapeDataString(Mac("hub", se))}&se={se}");
    }

    [Theory]
    [InlineData(31)]
    [InlineData(33)]
    [InlineData(0)]
    [InlineData(64)]
    public void TryParse_SignatureOfAnotherLength_IsRefused(int length)
    {
        var sig = Uri.EscapeDataString(Convert.ToBase64String(new byte[length]));

        AssertRefused($"SharedAccessSignature sr=hub&sig={sig}&se={Se}");
    }

    [Fact]
    public void TryParse_BaseSixtyFourWithBitsBehindTheLastByte_IsRefused()
    {
        var canonical = Mac("hub", "1800000000");
        const string alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        var last = alphabet.IndexOf(canonical[42], StringComparison.Ordinal);
        var same = canonical[..42] + alphabet[last | 1] + "=";

        // .NET's own decoder takes it for the same bytes: two texts for one signature.
        Assert.Equal(Convert.FromBase64String(canonical), Convert.FromBase64String(same));
        AssertRefused($"SharedAccessSignature sr=hub&sig={Uri.EscapeDataString(same)}&se={Se}");
    }

    [Theory]
    [InlineData("sig={S}%")]
    [InlineData("sig={S}%3")]
    [InlineData("sig={S}%3G")]
    [InlineData("sig={S}%0A")]
    [InlineData("sig=%20{S}")]
    [InlineData("sig={noPadding}")]
    [InlineData("sig={S}%3D")]
    public void TryParse_SignatureWithTrash_IsRefused(string sig) => AssertRefused(Sign($"sr=hub&{sig}&se=1800000000"));

    [Theory]
    [InlineData("")]
    [InlineData("%")]
    [InlineData("hub%")]
    [InlineData("hub%2")]
    [InlineData("hub%zz")]
    [InlineData("hub%+1")]
    [InlineData("hub%00")]
    [InlineData("hub%0a")]
    [InlineData("hub%C3%A9")]
    [InlineData("/hub")]
    [InlineData("hub//")]
    [InlineData("hub/a//")]
    [InlineData("hub//devices")]
    [InlineData("hub:")]
    [InlineData("hub:x")]
    [InlineData("hub:+1")]
    [InlineData("hub:65536")]
    [InlineData("hub:18446744073709551617")]
    [InlineData(":5671")]
    [InlineData("[::1")]
    [InlineData("[]")]
    [InlineData("[::1]x")]
    [InlineData("[::1]:")]
    [InlineData("[::1]5671")]
    [InlineData("sb:")]
    [InlineData("sb:/hub")]
    [InlineData("sb://")]
    [InlineData("sb:///events")]
    [InlineData("sb://sb://hub")]
    [InlineData("http://hub/devices/d1")]
    [InlineData("wss://hub")]
    [InlineData("hub/sb://hub")]
    [InlineData("https://hub//devices/d1")]
    public void TryParse_ResourceThatIsNotHostAndPath_IsRefused(string sr) => AssertRefused(Sign($"sr={sr}&sig={{S}}&se=1800000000"));

    [Theory]
    [InlineData("hüb")]
    [InlineData("hub\0")]
    [InlineData("hub\r\n")]
    [InlineData("hub d1")]
    [InlineData("hub\ud800")]
    public void TryParse_CharacterOutsidePrintableAscii_IsRefused(string sr) =>
        AssertRefused($"SharedAccessSignature sr={sr}&sig={Uri.EscapeDataString(Mac("hub", "1800000000"))}&se={Se}");

    [Fact]
    public void TryParse_LongerThanTheBound_IsRefused()
    {
        AssertRefused(Sign($"sr=hub/{new string('a', SharedAccessSignature.MaxLength)}&sig={{S}}&se=1800000000"));
        AssertRefused(Sign($"sr=hub&sig={{S}}&se=1800000000&skn={new string('a', SharedAccessSignature.MaxPolicyNameLength + 1)}"));
    }

    [Fact]
    public void TryParse_LongestIdsEncodedTwice_IsRead()
    {
        var id = new string('$', 128);
        var resource = $"{new string('h', 253)}/devices/{WebUtility.UrlEncode(id)}/modules/{WebUtility.UrlEncode(id)}";
        var text = SharedAccessSignature.Create(resource, Convert.ToBase64String(Key), Expiry);

        Assert.True(Parse(text)!.Value.Covers($"devices/{id}/modules/{id}"));
    }

    [Theory]
    [InlineData("hub.test/", "")]
    [InlineData("hub.test:443", "")]
    [InlineData("hub.test/devices/d1/", "devices/d1")]
    [InlineData("sb%3A%2F%2Fhub.test%3A31671%2Fhub%2FConsumerGroups%2F%24Default%2FPartitions%2F0", "hub/ConsumerGroups/$Default/Partitions/0")] // Node
    [InlineData("sb%3a%2f%2fhub.test%2f", "")]
    [InlineData("amqps://hub.test:5671/", "")]
    [InlineData("AMQP://hub.test/hub", "hub")]
    [InlineData("https%3A%2F%2Fhub.test", "")]
    public void TryParse_SchemePortAndSlashAtTheEnd_AreReadOver(string sr, string path)
    {
        var token = Parse(Sign($"sr={sr}&sig={{S}}&se=1800000000"))!.Value;

        Assert.Equal(("hub.test", path), (token.Host, token.Path));
        Assert.True(token.IsSignedWith(Key, default));
    }

    [Theory]
    [InlineData("::1/devices/d1", "::1")]
    [InlineData("[::1]:5671/devices/d1", "::1")]
    [InlineData("sb://[::1]/devices/d1", "::1")]
    public void TryParse_IPv6Address_IsTheHost(string sr, string host) =>
        Assert.Equal((host, "devices/d1"), (Parse(Sign($"sr={sr}&sig={{S}}&se=1800000000"))!.Value.Host, Parse(Sign($"sr={sr}&sig={{S}}&se=1800000000"))!.Value.Path));

    [Theory]
    [InlineData("sb://hub/e", "&skn=service", true)]
    [InlineData("amqps%3A%2F%2Fhub%2Fe", "&skn=service", true)]
    [InlineData("sb://hub/e", "", false)]
    [InlineData("sb://hub/e", "&skn=", false)]
    [InlineData("hub/e", "&skn=service", false)]
    public void IsForEventHubs_APolicysTokenWithAScheme(string sr, string skn, bool expected) =>
        Assert.Equal(expected, Parse(Sign($"sr={sr}&sig={{S}}&se=1800000000{skn}"))!.Value.IsForEventHubs);

    [Theory]
    [InlineData("sb://hub/Hub", "hub/consumergroups/$default/partitions/0", true)]
    [InlineData("sb://hub/hub/ConsumerGroups/$Default/Partitions/1", "hub/consumergroups/$default/partitions/1", true)]
    [InlineData("sb://hub/hub/ConsumerGroups/$Default/Partitions/1", "hub/consumergroups/$default/partitions/10", false)]
    [InlineData("sb://hub/hub/ConsumerGroups/$Default/Partitions/1", "hub/$management", false)]
    [InlineData("sb://hub/hu", "hub/$management", false)]
    [InlineData("hub/Hub", "hub/$management", false)]
    public void Covers_ForEventHubs_IgnoresCaseAndNothingElse(string sr, string path, bool covered) =>
        Assert.Equal(covered, Parse(Sign($"sr={Uri.EscapeDataString(sr)}&sig={{S}}&se=1800000000&skn=service"))!.Value.Covers(path));

    [Fact]
    public void Covers_ADevicesTokenWithAScheme_IsCaseSensitive() =>
        Assert.False(Parse(Sign("sr=amqps://hub/devices/D1&sig={S}&se=1800000000"))!.Value.Covers("devices/d1"));

    [Theory]
    [InlineData("hub", "devices/d1", true)]
    [InlineData("hub", "", true)]
    [InlineData("hub/devices", "devices/d1", true)]
    [InlineData("hub/devices/d1", "devices/d1", true)]
    [InlineData("hub/devices/d1", "devices/d1/modules/m1", true)]
    [InlineData("hub/devices/d1", "devices/d10", false)]
    [InlineData("hub/devices/d1", "devices/D1", false)]
    [InlineData("hub/devices/d1", "devices", false)]
    [InlineData("hub/devices/d1", "", false)]
    [InlineData("hub/dev", "devices/d1", false)]
    [InlineData("hub/devices/d1/modules/m1", "devices/d1", false)]
    [InlineData("hub/devices/d1/modules/m1", "devices/d1/modules/m2", false)]
    [InlineData("hub/devices/a+b", "devices/a+b", true)]
    public void Covers_ComparesSegmentBySegment(string sr, string path, bool covered)
    {
        foreach (var text in new[] { sr, Uri.EscapeDataString(sr) })
        foreach (var skn in new[] { "", "&skn=service" })
            Assert.Equal(covered, Parse(Sign($"sr={text}&sig={{S}}&se=1800000000{skn}"))!.Value.Covers(path));
    }

    [Fact]
    public void Covers_IdEncodedTwice_OnlyWithoutPolicy()
    {
        var sr = WebUtility.UrlEncode($"hub/devices/{WebUtility.UrlEncode("a%$b")}");

        Assert.True(Parse(Sign($"sr={sr}&sig={{S}}&se=1800000000"))!.Value.Covers("devices/a%$b"));
        Assert.False(Parse(Sign($"sr={sr}&sig={{S}}&se=1800000000&skn=device"))!.Value.Covers("devices/a%$b"));
    }

    [Fact]
    public void IsExpired_AcceptsUntilExpiryPlusSkew()
    {
        var token = Parse(Sign("sr=hub&sig={S}&se=1800000000"))!.Value;

        Assert.Equal(TimeSpan.FromMinutes(5), SharedAccessSignature.ClockSkew);
        Assert.Equal(Expiry + TimeSpan.FromMinutes(5), token.AcceptedUntil);
        Assert.False(token.IsExpired(Expiry.AddMinutes(5)));
        Assert.True(token.IsExpired(Expiry.AddMinutes(5).AddTicks(1)));
        Assert.True(Parse(Sign("sr=hub&sig={S}&se=0", "0"))!.Value.IsExpired(Expiry));
        Assert.False(Parse(Sign("sr=hub&sig={S}&se=253402300799", "253402300799"))!.Value.IsExpired(DateTimeOffset.MaxValue));
    }

    [Fact]
    public void IsSignedWith_AnythingElseSigned_IsFalse()
    {
        var signature = Uri.EscapeDataString(Mac("hub", "1800000000"));

        Assert.True(Parse($"SharedAccessSignature sr=hub&sig={signature}&se=1800000000")!.Value.IsSignedWith(Key, default));
        Assert.False(Parse($"SharedAccessSignature sr=hub&sig={signature}&se=1800000001")!.Value.IsSignedWith(Key, default));
        Assert.False(Parse($"SharedAccessSignature sr=Hub&sig={signature}&se=1800000000")!.Value.IsSignedWith(Key, default));
        Assert.False(Parse($"SharedAccessSignature sr=%68ub&sig={signature}&se=1800000000")!.Value.IsSignedWith(Key, default));
    }

    [Fact]
    public void IsSignedWith_NoKey_IsFalseEvenForAMacOfTheEmptyKey()
    {
        var mac = Convert.ToBase64String(HMACSHA256.HashData(Array.Empty<byte>(), Encoding.ASCII.GetBytes("hub\n1800000000")));
        var token = Parse($"SharedAccessSignature sr=hub&sig={Uri.EscapeDataString(mac)}&se=1800000000")!.Value;

        Assert.False(token.IsSignedWith(default, default));
    }

    [Theory]
    [InlineData("hub.test/devices/d1", null)]
    [InlineData("hub.test/devices/a%b+c$d'e/modules/$edgeHub", null)]
    [InlineData("hub.test", "iothubowner")]
    public void Create_IsReadBack(string resource, string? policy)
    {
        var text = SharedAccessSignature.Create(resource, Convert.ToBase64String(Key), Expiry.AddMilliseconds(999), policy);

        var token = Parse(text)!.Value;
        Assert.True(token.IsSignedWith(Key, default));
        Assert.Equal(policy, token.PolicyName);
        Assert.Equal("hub.test", token.Host);
        Assert.Equal(Expiry + SharedAccessSignature.ClockSkew, token.AcceptedUntil);
        Assert.True(token.Covers(resource.Contains('/', StringComparison.Ordinal) ? resource[9..] : "devices"));
    }

    [Fact]
    public void Create_IsTheTextThatTheSdksMake()
    {
        // Computed with OpenSSL: printf 'hub.test%%2Fdevices%%2Fd1\n1800000000' | openssl dgst -sha256 -hmac 0123456789abcdef -binary | base64
        Assert.Equal(
            "SharedAccessSignature sr=hub.test%2Fdevices%2Fd1&sig=sOTf0EzZrIpIr84MZ%2FkAJv9v9oUQ6Bw%2BYulsWmhPr7I%3D&se=1800000000",
            SharedAccessSignature.Create("hub.test/devices/d1", "MDEyMzQ1Njc4OWFiY2RlZg==", Expiry));
    }

    [Fact]
    public void ToString_DoesNotPrintTheToken()
    {
        var text = Sign("sr=hub&sig={S}&se=1800000000&skn=owner");
        var token = Parse(text)!.Value;

        Assert.Equal($"token {token.Fingerprint}", token.ToString());
        Assert.Equal(Convert.ToHexStringLower(SHA256.HashData(Convert.FromBase64String(Mac("hub", "1800000000")))), token.Fingerprint.ToString());
        Assert.DoesNotContain(token.Fingerprint.ToString(), text, StringComparison.OrdinalIgnoreCase);
    }

    [Fact]
    public void TryParse_SeededMutations_NeverThrowAndNeverVerify()
    {
        var random = new Random(20260801);
        var seeds = new[]
        {
            Sign("sr=hub.test%2Fdevices%2Fd1&sig={S}&se=1800000000"),
            Sign("sr=hub.test/devices/d1&sig={s}&se=1800000000&skn="),
            Sign("sr=hub.test&sig={S}&skn=iothubowner&se=1800000000"),
            Sign("sr=sb%3A%2F%2Fhub.test%3A5671%2Fhub%2FConsumerGroups%2F$Default&sig={S}&skn=service&se=1800000000"),
        };
        var read = 0;
        for (var run = 0; run < 30_000; run++)
        {
            var seed = seeds[random.Next(seeds.Length)];
            var mutant = Mutate(seed, random);
            var parsed = SharedAccessSignature.TryParse(mutant, out var reason);
            if (parsed is not { } token)
            {
                Assert.NotEmpty(reason);
                continue;
            }

            read++;

            // A mutant that still verifies may only say the same thing in other words.
            if (token.IsSignedWith(Key, default))
            {
                var original = Parse(seed)!.Value;
                Assert.Equal(original.Fingerprint, token.Fingerprint);
                Assert.Equal(original.AcceptedUntil, token.AcceptedUntil);
                Assert.Equal(original.Host, token.Host);
                Assert.Equal(original.Covers("devices/d1"), token.Covers("devices/d1"));
                Assert.Equal(original.Covers("devices/d2"), token.Covers("devices/d2"));
            }
        }

        Assert.InRange(read, 100, 29_900);
    }

    private static string Mutate(string text, Random random)
    {
        var chars = text.ToList();
        for (var changes = random.Next(1, 4); changes > 0; changes--)
        {
            var at = random.Next(chars.Count);
            var c = random.Next(4) == 0 ? (char)random.Next(0x10000) : "%&=+/sig0Aa\0 \n-.é"[random.Next(17)];
            switch (random.Next(5))
            {
                case 0:
                    chars[at] = c;
                    break;
                case 1:
                    chars.Insert(at, c);
                    break;
                case 2:
                    chars.RemoveAt(at);
                    break;
                case 3:
                    chars.RemoveRange(at, Math.Min(chars.Count - at, random.Next(20)));
                    break;
                default:
                    chars.InsertRange(at, chars.Take(random.Next(chars.Count)).ToArray());
                    break;
            }

            if (chars.Count == 0)
                break;
        }

        return new string(chars.ToArray());
    }

    private static SharedAccessSignature? Parse(string text) => SharedAccessSignature.TryParse(text, out _);

    private static void AssertRefused(string text)
    {
        Assert.Null(SharedAccessSignature.TryParse(text, out var reason));
        Assert.NotEmpty(reason);
    }

    /// <summary>Fills in the signature over the <c>sr</c> as it stands there: percent-encoded in upper ({S}) or lower case ({s}), raw, or without padding.</summary>
    private static string Sign(string fields, string se = "1800000000")
    {
        var sr = fields.Split('&').FirstOrDefault(field => field.StartsWith("sr=", StringComparison.Ordinal))?[3..] ?? "";
        var mac = Mac(sr, se);
        var upper = Uri.EscapeDataString(mac);
        var lower = upper.Replace("%2B", "%2b", StringComparison.Ordinal).Replace("%2F", "%2f", StringComparison.Ordinal).Replace("%3D", "%3d", StringComparison.Ordinal);
        var signed = fields.Replace("{S}", upper, StringComparison.Ordinal).Replace("{s}", lower, StringComparison.Ordinal)
            .Replace("{raw}", mac, StringComparison.Ordinal).Replace("{noPadding}", Uri.EscapeDataString(mac.TrimEnd('=')), StringComparison.Ordinal);
        return "SharedAccessSignature " + signed;
    }

    private static string Mac(string sr, string se) =>
        Convert.ToBase64String(HMACSHA256.HashData(Key, Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{sr}\n{se}"))));
}
