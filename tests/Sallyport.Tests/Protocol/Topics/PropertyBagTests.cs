using System.Buffers;
using System.Text;
using Sallyport.Protocol.Messages;
using Sallyport.Protocol.Topics;

namespace Sallyport.Tests.Protocol.Topics;

public sealed class PropertyBagTests
{
    private readonly MessageProperties _properties = new();

    [Theory]
    [InlineData("a=b", "a", "b")]
    [InlineData("k%201=v%2F1%26", "k 1", "v/1&")]
    [InlineData("k 1=v/1", "k 1", "v/1")]
    [InlineData("a=b=c", "a", "b=c")]
    [InlineData("a=b+c", "a", "b+c")]
    [InlineData("%c3%A4=%E2%82%AC", "ä", "€")]
    [InlineData("&&a=b&", "a", "b")]
    [InlineData("$.unknown=x", "$.unknown", "x")]
    [InlineData("a%3Db=c", "a=b", "c")]
    [InlineData("a=%2541", "a", "%41")]
    public void Pair_IsReadAsItsSenderMeantIt(string bag, string name, string value)
    {
        Assert.Null(Read(bag));

        Assert.Equal(1, _properties.Count);
        Assert.Equal((name, value), (Encoding.UTF8.GetString(_properties.Name(0)), Encoding.UTF8.GetString(_properties.Value(0))));
        Assert.False(_properties.IsNull(0));
    }

    [Fact]
    public void NameAlone_IsNull_AndNameWithEqualsSignIsEmpty()
    {
        Assert.Null(Read("alone&empty="));

        Assert.True(_properties.IsNull(0));
        Assert.False(_properties.IsNull(1));
        Assert.True(_properties.Value(1).IsEmpty);
    }

    [Theory]
    [InlineData("%24.mid=1")]
    [InlineData("$.mid=1")]
    [InlineData("%24%2Emid=1")]
    public void SystemKey_EncodedOrNot_IsASystemProperty(string bag)
    {
        Assert.Null(Read(bag));

        Assert.Equal("1", Encoding.UTF8.GetString(_properties.System(SystemProperty.MessageId)));
        Assert.Equal(0, _properties.Count);
    }

    [Theory]
    [InlineData("$.mid", SystemProperty.MessageId)]
    [InlineData("$.cid", SystemProperty.CorrelationId)]
    [InlineData("$.uid", SystemProperty.UserId)]
    [InlineData("$.to", SystemProperty.To)]
    [InlineData("$.exp", SystemProperty.AbsoluteExpiryTime)]
    [InlineData("$.ct", SystemProperty.ContentType)]
    [InlineData("$.ce", SystemProperty.ContentEncoding)]
    [InlineData("$.ctime", SystemProperty.CreationTimeUtc)]
    [InlineData("$.schema", SystemProperty.MessageSchema)]
    [InlineData("$.on", SystemProperty.OutputName)]
    [InlineData("$.ifid", SystemProperty.InterfaceId)]
    [InlineData("$.sub", SystemProperty.Subject)]
    [InlineData("$.diagid", SystemProperty.DiagnosticId)]
    [InlineData("$.diagctx", SystemProperty.DiagnosticContext)]
    public void SystemKey_OfIotHub_IsKnown(string name, SystemProperty key) =>
        Assert.Equal(key, PropertyBag.KeyOf(Encoding.UTF8.GetBytes(name)));

    [Theory]
    [InlineData("$.cdid=other")]
    [InlineData("%24.cmid=other")]
    public void KeyThatOnlyTheHubStamps_IsPassedOver(string bag)
    {
        Assert.Null(Read(bag));
        Assert.Equal(0, _properties.Count);
    }

    [Theory]
    [InlineData("a=%")]
    [InlineData("a=%4")]
    [InlineData("a=%g0")]
    [InlineData("a=%0g")]
    [InlineData("%zz=1")]
    [InlineData("=v")]
    [InlineData("%24.mid=1&$.mid=2")]
    public void Bag_Malformed_IsRefusedWithWords(string bag) => Assert.NotNull(Read(bag));

    [Fact]
    public void Bag_OfTooManyProperties_IsRefused()
    {
        Assert.Null(Read(string.Join('&', Enumerable.Range(0, MessageProperties.MaxCount).Select(i => $"k{i}"))));

        _properties.Clear();
        Assert.NotNull(Read(string.Join('&', Enumerable.Range(0, MessageProperties.MaxCount + 1).Select(i => $"k{i}"))));
    }

    [Fact]
    public void Bag_Written_IsReadTheSame()
    {
        var topic = new ArrayBufferWriter<byte>();
        PropertyBagWriter.Append(topic, "$.mid", "m/1", isFirst: true);
        PropertyBagWriter.Append(topic, "k 1", "v&=%/#+", isFirst: false);
        PropertyBagWriter.Append(topic, "null", null, isFirst: false);
        PropertyBagWriter.Append(topic, "empty", "", isFirst: false);

        Assert.Equal("%24.mid=m%2F1&k%201=v%26%3D%25%2F%23%2B&null&empty=", Encoding.UTF8.GetString(topic.WrittenSpan));
        Assert.Null(PropertyBag.Read(topic.WrittenSpan, _properties));
        Assert.Equal("m/1", Encoding.UTF8.GetString(_properties.System(SystemProperty.MessageId)));
        Assert.Equal("v&=%/#+", Encoding.UTF8.GetString(_properties.Value(0)));
        Assert.True(_properties.IsNull(1));
        Assert.False(_properties.IsNull(2));
    }

    private string? Read(string bag) => PropertyBag.Read(Encoding.UTF8.GetBytes(bag), _properties);
}
