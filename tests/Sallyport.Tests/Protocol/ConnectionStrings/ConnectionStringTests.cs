using Sallyport.Protocol.ConnectionStrings;

namespace Sallyport.Tests.Protocol.ConnectionStrings;

public sealed class ConnectionStringTests
{
    private const string Key = "MDEyMzQ1Njc4OWFiY2RlZg==";

    [Theory]
    [InlineData("HostName=hub.test;DeviceId=d1;SharedAccessKey=" + Key)]
    [InlineData("HostName=hub.test;DeviceId=d1;ModuleId=m=1;SharedAccessKey=" + Key + ";GatewayHostName=edge.local")]
    [InlineData("HostName=hub.test;SharedAccessKeyName=iothubowner;SharedAccessKey=" + Key)]
    [InlineData("HostName=hub.test;DeviceId=d1")]
    public void Parse_ThenFormat_IsTheSameText(string text) => Assert.Equal(text, ConnectionString.Parse(text).Format());

    [Fact]
    public void Parse_NamesOfAnyCaseAndOrder_AreRead()
    {
        var parsed = ConnectionString.Parse($" sharedaccesskey={Key};DEVICEID=d1;hostname=hub.test; \n");

        Assert.Equal(("hub.test", "d1", Key), (parsed.HostName, parsed.DeviceId, parsed.SharedAccessKey));
    }

    [Theory]
    [InlineData("", "lacks HostName")]
    [InlineData("DeviceId=d1;SharedAccessKey=" + Key, "lacks HostName")]
    [InlineData("HostName=hub.test", "has neither DeviceId nor SharedAccessKeyName")]
    [InlineData("HostName=hub.test;DeviceId=d1;DeviceId=d2", "has DeviceId twice")]
    [InlineData("HostName=hub.test;deviceid=d1;DeviceId=d2", "has DeviceId twice")]
    [InlineData("HostName=hub.test;DeviceId=", "has an empty DeviceId")]
    [InlineData("HostName=hub.test;DeviceId=d/1", "has a DeviceId that is not a valid id")]
    [InlineData("HostName=hub.test;ModuleId=m1;SharedAccessKeyName=p;SharedAccessKey=" + Key, "has a ModuleId but no DeviceId")]
    [InlineData("HostName=hub.test;DeviceId=d1;ModuleId=é", "has a ModuleId that is not a valid id")]
    [InlineData("HostName=hub test;DeviceId=d1", "has a HostName that is not a host name")]
    [InlineData("HostName=hub.test:8883;DeviceId=d1", "has a HostName that is not a host name")]
    [InlineData("HostName=hub.test;DeviceId=d1;GatewayHostName=a/b", "has a GatewayHostName that is not a host name")]
    [InlineData("HostName=hub.test;SharedAccessKeyName=p", "has a SharedAccessKeyName but no SharedAccessKey")]
    [InlineData("HostName=hub.test;DeviceId=d1;SharedAccessKey=not!base64", "has a SharedAccessKey that is not base64")]
    public void TryParse_SomethingWrong_SaysWhat(string text, string expected)
    {
        Assert.False(ConnectionString.TryParse(text, out var parsed, out var problem));
        Assert.Null(parsed);
        Assert.Equal(expected, problem);
    }

    [Theory]
    [InlineData("HostName=hub.test;Colour=turquoise;DeviceId=d1")]
    [InlineData("HostName=hub.test;DeviceId")]
    [InlineData("HostName=hub.test;=d1")]
    public void TryParse_UnknownPart_IsNotRepeated(string text)
    {
        Assert.False(ConnectionString.TryParse(text, out _, out var problem));
        Assert.StartsWith("has a part that is none of HostName, ", problem, StringComparison.Ordinal);
        Assert.DoesNotContain("turquoise", problem, StringComparison.Ordinal);
    }

    [Fact]
    public void TryParse_LongerThanTheBound_IsRefused() =>
        Assert.False(ConnectionString.TryParse("HostName=hub.test;DeviceId=d1;" + new string(';', ConnectionString.MaxLength), out _, out _));

    [Fact]
    public void Parse_Wrong_ThrowsWithoutTheKey()
    {
        var thrown = Assert.Throws<FormatException>(() => ConnectionString.Parse($"SharedAccessKey={Key}"));

        Assert.Equal("the connection string lacks HostName", thrown.Message);
    }

    [Fact]
    public void Format_IdWithSemicolon_Throws() =>
        Assert.Throws<FormatException>(() => new ConnectionString { HostName = "hub.test", DeviceId = "a;SharedAccessKeyName=p" }.Format());

    [Fact]
    public void ToString_LeavesTheKeyOut()
    {
        var text = ConnectionString.Parse($"HostName=hub.test;DeviceId=d1;SharedAccessKeyName=p;SharedAccessKey={Key}").ToString();

        Assert.Equal("hub.test/p/d1", text);
    }
}
