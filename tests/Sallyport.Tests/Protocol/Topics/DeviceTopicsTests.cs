using System.Text;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Topics;

namespace Sallyport.Tests.Protocol.Topics;

public sealed class DeviceTopicsTests
{
    private static readonly DeviceTopics Device = new(Identity.Of("d1"));
    private static readonly DeviceTopics Module = new(Identity.Of("d1", "m1"));

    [Theory]
    [InlineData("devices/d1/messages/events/", PublishTarget.Telemetry, "")]
    [InlineData("devices/d1/messages/events", PublishTarget.Telemetry, "")]
    [InlineData("devices/d1/messages/events/a=b", PublishTarget.Telemetry, "a=b")]
    [InlineData("devices/d1/messages/events/a=b/", PublishTarget.Telemetry, "a=b")]
    [InlineData("devices/d1/messages/events/a=b/c/", PublishTarget.Telemetry, "a=b/c")]
    [InlineData("devices/d1/messages/events//", PublishTarget.Telemetry, "")]
    [InlineData("devices/d2/messages/events/", PublishTarget.Foreign, "")]
    [InlineData("devices/d1/modules/m1/messages/events/", PublishTarget.Foreign, "")]
    [InlineData("devices/d1/messages/event", PublishTarget.Foreign, "")]
    [InlineData("$iothub/twin/GET/?$rid=1", PublishTarget.TwinGet, "$rid=1")]
    [InlineData("$iothub/twin/PATCH/properties/reported/?$rid=1&$version=2", PublishTarget.TwinPatch, "$rid=1&$version=2")]
    [InlineData("$iothub/methods/res/200/?$rid=1", PublishTarget.MethodResponse, "$rid=1")]
    [InlineData("$iothub/methods/POST/x/?$rid=1", PublishTarget.Foreign, "$rid=1")]
    [InlineData("$iothub/", PublishTarget.Foreign, "")]
    public void Topic_OfADevice_IsClassified(string topic, PublishTarget target, string tail)
    {
        Assert.Equal(target, Device.Classify(Encoding.UTF8.GetBytes(topic), out var found));
        Assert.Equal(tail, Encoding.UTF8.GetString(found));
    }

    [Fact]
    public void Topic_OfAModule_IsItsOwnAndNotItsDevices()
    {
        Assert.Equal(PublishTarget.Telemetry, Module.Classify("devices/d1/modules/m1/messages/events/"u8, out _));
        Assert.Equal(PublishTarget.Foreign, Module.Classify("devices/d1/messages/events/"u8, out _));
    }

    [Theory]
    [InlineData("devices/d1/messages/devicebound/#", true, false)]
    [InlineData("$iothub/twin/res/#", true, true)]
    [InlineData("$iothub/twin/PATCH/properties/desired/#", true, true)]
    [InlineData("$iothub/methods/POST/#", true, true)]
    [InlineData("devices/d1/modules/m1/messages/devicebound/#", false, true)]
    [InlineData("devices/d1/modules/m1/inputs/#", false, true)]
    [InlineData("devices/d1/modules/m1/#", false, true)]
    [InlineData("devices/d1/#", false, false)]
    [InlineData("devices/d2/messages/devicebound/#", false, false)]
    [InlineData("devices/+/messages/devicebound/#", false, false)]
    [InlineData("devices/d1/messages/events/#", false, false)]
    [InlineData("$iothub/#", false, false)]
    [InlineData("#", false, false)]
    [InlineData("+", false, false)]
    [InlineData("$SYS/#", false, false)]
    public void Filter_IsGrantedToWhomItBelongs(string filter, bool device, bool module)
    {
        Assert.Equal(device, Device.MaySubscribe(filter));
        Assert.Equal(module, Module.MaySubscribe(filter));
    }

    [Theory]
    [InlineData("$rid=abc", "abc")]
    [InlineData("$version=1&$rid=abc", "abc")]
    [InlineData("$rid=abc&$version=1", "abc")]
    [InlineData("rid=abc", "")]
    [InlineData("", "")]
    public void RequestId_IsFoundWhereverItStands(string query, string rid) =>
        Assert.Equal(rid, Encoding.UTF8.GetString(DeviceTopics.RequestId(Encoding.UTF8.GetBytes(query))));

    [Theory]
    [InlineData("d1", "hub.test/d1/?api-version=2021-04-12&DeviceClientType=azure-iot-device%2F1.18.4%20(node)", "hub.test", null)]
    [InlineData("d1", "hub.test/d1/?api-version=2021-04-12&model-id=dtmi:x:y;1&DeviceClientType=x", "hub.test", "dtmi:x:y;1")]
    [InlineData("d1", "hub.test/d1/?DeviceClientType=x&model-id=dtmi%3acom%3ax%3b1", "hub.test", "dtmi:com:x;1")]
    [InlineData("d1", "hub.test/d1/api-version=2020-09-30&model-id=dtmi:x;1", "hub.test", "dtmi:x;1")]
    [InlineData("d1/m1", "hub.test/d1/m1/?api-version=2018-06-30", "hub.test", null)]
    [InlineData("d1", "hub.test:8883/d1/", "hub.test", null)]
    [InlineData("d?1", "hub.test/d?1/?api-version=1", "hub.test", null)]
    [InlineData("d1", "hub.test/d1/?model-id=", "hub.test", null)]
    public void UserName_OfAnSdk_IsRead(string clientId, string userName, string host, string? modelId)
    {
        Assert.True(Identity.TryParse(clientId, out var identity));

        Assert.True(MqttUserName.TryRead(userName, identity, out var read, out _));
        Assert.Equal((host, modelId), (read.HostName, read.ModelId));
    }

    [Theory]
    [InlineData("d1", "hub.test/d2/?api-version=1")]
    [InlineData("d1", "hub.test/d1/m1/?api-version=1")]
    [InlineData("d1/m1", "hub.test/d1/?api-version=1")]
    [InlineData("d1", "hub.test/d1x/")]
    [InlineData("d1", "hub.test")]
    [InlineData("d1", "/d1/")]
    [InlineData("d1", "")]
    public void UserName_ThatDoesNotFit_IsRefusedWithWords(string clientId, string userName)
    {
        Assert.True(Identity.TryParse(clientId, out var identity));

        Assert.False(MqttUserName.TryRead(userName, identity, out _, out var wrong));
        Assert.NotEmpty(wrong);
    }

    [Fact]
    public void UserName_WithAnAuthChain_SaysIt_AndALongerOneIsRefused()
    {
        Assert.True(MqttUserName.TryRead("h/leaf/?api-version=2020-09-30&auth-chain=leaf%3Bedge%3Btop&model-id=dtmi:x;1", Identity.Of("leaf"), out var read, out _));
        Assert.Equal(("leaf;edge;top", "dtmi:x;1"), (read.AuthChain, read.ModelId));
        Assert.True(MqttUserName.TryRead("h/leaf/?auth-chain=", Identity.Of("leaf"), out read, out _));
        Assert.Null(read.AuthChain);
        Assert.False(MqttUserName.TryRead($"h/leaf/?auth-chain={new string('x', MqttUserName.MaxAuthChainLength + 1)}", Identity.Of("leaf"), out _, out _));
    }

    [Fact]
    public void UserName_WithAModelIdBeyondDtdlsBound_IsRefused() =>
        Assert.False(MqttUserName.TryRead($"h/d1/?model-id={new string('x', MqttUserName.MaxModelIdLength + 1)}", Identity.Of("d1"), out _, out _));
}
