using Sallyport.Heads.Http;
using Sallyport.Hub.Uploads;
using Sallyport.Storage.Secrets;

namespace Sallyport.Tests.Hub.Uploads;

public sealed class BlobSignatureTests
{
    private static readonly DateTimeOffset End = new(2026, 1, 2, 13, 0, 0, TimeSpan.Zero);

    private readonly StepTime _time = new(new DateTimeOffset(2026, 1, 2, 12, 0, 0, TimeSpan.Zero));
    private KeyRing _ring = new(MasterKey.Random());

    private BlobSignature Signature => new(() => _ring, _time);

    [Fact]
    public void Signature_OfAnUpload_OpensIt_UntilItsEnd()
    {
        var query = Signature.ForUpload("0123456789abcdef0123456789abcdef", End);
        Assert.Matches("^\\?sv=2020-10-02&spr=https&sr=b&si=0123456789abcdef0123456789abcdef&se=2026-01-02T13%3A00%3A00Z&sp=cw&sig=[A-Za-z0-9_-]{43}$", query);
        Assert.Equal(new BlobGrant("0123456789abcdef0123456789abcdef", null, End), Check("d1/a", query));
        _time.Advance(TimeSpan.FromHours(1));
        Assert.Null(Check("d1/a", query));
    }

    [Fact]
    public void Signature_ForReading_OpensOneName()
    {
        var query = Signature.ForReading("d1/a b", End);
        Assert.Equal(new BlobGrant(null, "d1/a b", End), Check("d1/a%20b", query));
        Assert.Null(Check("d1/a%2520b", query));
        Assert.Null(Check("d1/b", query));
    }

    [Theory]
    [InlineData("sp=cw", "sp=r")]
    [InlineData("sp=cw", "sp=rcwd")]
    [InlineData("T13", "T14")]
    [InlineData("si=0", "si=1")]
    [InlineData("sr=b", "sr=c")]
    [InlineData("&sig=", "&sig=A")]
    [InlineData("&sig=", "&gis=")]
    public void Signature_Changed_OpensNothing(string what, string to) =>
        Assert.Null(Check("d1/a", Signature.ForUpload("0123456789abcdef0123456789abcdef", End).Replace(what, to, StringComparison.Ordinal)));

    [Fact]
    public void Signature_OfAKeyThatWasRotated_IsGoodUntilTheKeyIsGone()
    {
        var query = Signature.ForUpload("0123456789abcdef0123456789abcdef", End);
        var old = _ring.Current;
        _ring = new KeyRing(MasterKey.Random(), old);
        Assert.NotNull(Check("d1/a", query));
        Assert.NotEqual(query, Signature.ForUpload("0123456789abcdef0123456789abcdef", End));
        _ring = new KeyRing(_ring.Current);
        Assert.Null(Check("d1/a", query));
    }

    [Theory]
    [InlineData("/uploads/d1/a?sv=1&sig=x", "d1/a")]
    [InlineData("/uploads/d?1/a?b?sv=1&sig=x", "d?1/a?b")]
    [InlineData("/uploads/d1/x%3Fsv=9?sv=1&sig=x&comp=block", "d1/x%3Fsv=9")]
    [InlineData("https://hub.test/uploads/d1/a?sv=1&sig=x", "d1/a")]
    public void Target_HasItsNameBeforeTheSignature(string target, string path)
    {
        var parsed = BlobTarget.Parse(target)!;
        Assert.Equal((path, "x"), (parsed.Path, parsed.Fields["sig"]));
    }

    [Theory]
    [InlineData("/uploads/")]
    [InlineData("/uploads?sv=1")]
    [InlineData("/devices/d1")]
    [InlineData("*")]
    [InlineData("/Uploads/d1/a?sv=1&sig=x")]
    [InlineData("/uploads/d1/a?sv=1&sig=x&sig=y")]
    public void Target_OfNoFile_IsNone(string target) => Assert.Null(BlobTarget.Parse(target));

    private BlobGrant? Check(string path, string query)
    {
        var target = BlobTarget.Parse($"/uploads/{path}{query}")!;
        return Signature.Check(target.Fields, target.Name);
    }
}
