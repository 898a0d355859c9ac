using Sallyport.Hub.Access;
using Sallyport.Protocol.Sas;

namespace Sallyport.Tests.Hub.Access;

public sealed class KeyPairTests
{
    private static readonly string One = Convert.ToBase64String(Enumerable.Repeat((byte)1, 32).ToArray());
    private static readonly string Two = Convert.ToBase64String(Enumerable.Repeat((byte)2, 32).ToArray());
    private static readonly string Three = Convert.ToBase64String(Enumerable.Repeat((byte)3, 32).ToArray());

    // The key that signed last is tried first: whatever came before, the same tokens are good.
    [Theory]
    [InlineData("1", "2")]
    [InlineData("2", "1")]
    [InlineData("2", "3")]
    [InlineData("3", "2")]
    [InlineData("3", "1")]
    public void HasSigned_WhicheverKeyWasUsedBefore_KnowsBothAndNoOther(string first, string second)
    {
        var keys = KeyPair.Of(One, Two);
        for (var round = 0; round < 3; round++)
        {
            foreach (var signer in (string[])[first, second])
            {
                Assert.Equal(signer != "3", keys.HasSigned(SignedBy(signer)));
                Assert.Equal(signer != "3", keys.HasSigned(SignedBy(signer, forEventHubs: true)));
            }
        }
    }

    [Fact]
    public void HasSigned_WithoutASecondKey_DoesNotTakeTheEmptyOne()
    {
        var keys = KeyPair.Of(One, null);

        Assert.True(keys.HasSigned(SignedBy("1")));
        Assert.False(keys.OnlySecondary.HasSigned(SignedBy("1")));
        Assert.False(KeyPair.Of(null, null).HasSigned(SignedBy("1")));
    }

    private static SharedAccessSignature SignedBy(string who, bool forEventHubs = false)
    {
        var key = who switch { "1" => One, "2" => Two, _ => Three };
        var expires = new DateTimeOffset(2027, 1, 1, 0, 0, 0, TimeSpan.Zero);
        var text = forEventHubs ? SharedAccessSignature.CreateForEventHubs("sb://hub.test/events", key, expires, "service") : SharedAccessSignature.Create("hub.test", key, expires, "service");
        return SharedAccessSignature.TryParse(text, out _)!.Value;
    }
}
