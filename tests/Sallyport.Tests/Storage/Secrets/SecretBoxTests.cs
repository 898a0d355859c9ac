using System.Security.Cryptography;
using System.Text;
using Sallyport.Storage.Secrets;

namespace Sallyport.Tests.Storage.Secrets;

public sealed class SecretBoxTests
{
    private const string Secret = "c2VjcmV0LWtleQ==";

    private static readonly SecretPlace Place = new("identity", "d1/m1", "primary_key", "638000000000000000");
    private static readonly MasterKey Key = new(Enumerable.Range(0, 32).Select(i => (byte)i).ToArray());

    [Theory]
    [InlineData("")]
    [InlineData(Secret)]
    [InlineData("ümlaut – and 🔑")]
    public void Open_WhatWasSealed_ComesBack(string secret)
    {
        using var box = new SecretBox(new KeyRing(Key));

        Assert.Equal(secret, box.Open(box.Seal(secret, Place), Place));
    }

    [Fact]
    public void Seal_SameSecretTwice_LooksDifferentAndShowsNothing()
    {
        using var box = new SecretBox(new KeyRing(Key));

        var first = box.Seal(Secret, Place);

        Assert.NotEqual(first, box.Seal(Secret, Place));
        Assert.Equal(-1, first.AsSpan().IndexOf(Encoding.UTF8.GetBytes(Secret)));
    }

    [Fact]
    public void Open_AnyBitFlipped_IsRefused()
    {
        using var box = new SecretBox(new KeyRing(Key));
        var envelope = box.Seal(Secret, Place);

        for (var bit = 0; bit < envelope.Length * 8; bit++)
        {
            var altered = envelope.ToArray();
            altered[bit / 8] ^= (byte)(1 << (bit % 8));
            Assert.Throws<SecretUnreadableException>(() => box.Open(altered, Place));
        }
    }

    [Fact]
    public void Open_Truncated_IsRefused()
    {
        using var box = new SecretBox(new KeyRing(Key));
        var envelope = box.Seal(Secret, Place);

        for (var length = 0; length < envelope.Length; length++)
            Assert.Throws<SecretUnreadableException>(() => box.Open(envelope.AsSpan(0, length), Place));
    }

    [Fact]
    public void Open_MovedElsewhere_IsRefusedNamingThePlaceAndNoSecret()
    {
        using var box = new SecretBox(new KeyRing(Key));
        var envelope = box.Seal(Secret, Place);
        SecretPlace[] elsewhere =
        [
            Place with { Table = "policy" },
            Place with { Identity = "d1" },
            Place with { Identity = "d1/m1p", Column = "rimary_key" },
            Place with { Column = "secondary_key" },
            Place with { Generation = "638000000000000001" },
        ];

        foreach (var place in elsewhere)
        {
            var refused = Assert.Throws<SecretUnreadableException>(() => box.Open(envelope, place));
            Assert.Contains($"'{place.Column}' of '{place.Identity}' in table '{place.Table}'", refused.Message, StringComparison.Ordinal);
            Assert.DoesNotContain(Secret, refused.ToString(), StringComparison.Ordinal);
            Assert.Equal(place, refused.Place);
        }
    }

    [Fact]
    public void Open_AfterRotation_OldOpensAndNewIsSealedWithTheNewKey()
    {
        var next = MasterKey.Random();
        using var before = new SecretBox(new KeyRing(Key));
        using var after = new SecretBox(new KeyRing(next, Key));
        using var later = new SecretBox(new KeyRing(next));
        var old = before.Seal(Secret, Place);

        Assert.Equal(Secret, after.Open(old, Place));
        Assert.Equal(Secret, later.Open(after.Seal(Secret, Place), Place));
        Assert.Contains(Key.Id, Assert.Throws<SecretUnreadableException>(() => later.Open(old, Place)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Open_EnvelopeWrittenElsewhere_FollowsTheDocumentedBytes()
    {
        // docs/formats/metadata.md, made by hand from the parts.
        var nonce = Convert.FromHexString("000102030405060708090a0b");
        byte[] head = [1, .. Convert.FromHexString(Key.Id)];
        byte[] bound = [.. head, .. Part("identity"), .. Part("d1/m1"), .. Part("primary_key"), .. Part("638000000000000000")];
        var cipher = new byte[Secret.Length];
        var tag = new byte[16];
        using (var aes = new AesGcm(Key.Derive("metadata-secrets"), 16))
            aes.Encrypt(nonce, Encoding.UTF8.GetBytes(Secret), cipher, tag, bound);
        using var box = new SecretBox(new KeyRing(Key));

        Assert.Equal(Secret, box.Open([.. head, .. nonce, .. cipher, .. tag], Place));

        static byte[] Part(string text) => [0, 0, 0, (byte)text.Length, .. Encoding.ASCII.GetBytes(text)];
    }

    [Fact]
    public void Box_UsedByManyThreads_OpensEverything()
    {
        using var box = new SecretBox(new KeyRing(Key));

        Parallel.For(0, 500, i =>
        {
            var place = Place with { Identity = $"d{i}" };
            Assert.Equal($"secret {i}", box.Open(box.Seal($"secret {i}", place), place));
        });
    }
}
