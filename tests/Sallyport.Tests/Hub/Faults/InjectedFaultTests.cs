using System.Text;
using Sallyport.Hub.Faults;
using Sallyport.Protocol.Messages;

namespace Sallyport.Tests.Hub.Faults;

public sealed class InjectedFaultTests
{
    // Strings of Azure's SDKs: what a name is called here, it is called on the wire.
    public static readonly TheoryData<string> Kinds = new(
        "KillTcp", "KillAmqpConnection", "KillAmqpSession", "KillAmqpCBSLinkReq", "KillAmqpCBSLinkResp", "KillAmqpD2CLink", "KillAmqpC2DLink", "KillAmqpTwinLinkReq",
        "KillAmqpTwinLinkResp", "KillAmqpMethodReqLink", "KillAmqpMethodRespLink", "ShutDownAmqp", "ShutDownMqtt", "InvokeThrottling", "InvokeMaxMessageQuota", "InvokeAuthError");

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Read_OfEachKind_HasTheDefaults(string kind)
    {
        var fault = Read(("AzIoTHub_FaultOperationType", kind));

        Assert.Equal((kind, TimeSpan.FromSeconds(2), TimeSpan.FromSeconds(5), $"injected fault {kind}"), (fault?.Kind.ToString(), fault?.Delay, fault?.Duration, fault?.Text));
        Assert.Equal(Enum.GetNames<FaultKind>().Length, Kinds.Count);
    }

    [Fact]
    public void Read_TakesWhatIsSaid()
    {
        var fault = Read(
            ("AzIoTHub_FaultOperationDurationInSecs", "300"), ("unit", "C"), ("AzIoTHub_FaultOperationType", "KillTcp"), ("AzIoTHub_FaultOperationCloseReason", "boom"),
            ("AzIoTHub_FaultOperationDelayInSecs", "7"), ("AzIoTHub_FaultOperationIsNew", "x"));

        Assert.Equal((TimeSpan.FromSeconds(7), TimeSpan.FromSeconds(300), "injected fault KillTcp (boom)"), (fault?.Delay, fault?.Duration, fault?.Text));
    }

    [Fact]
    public void Read_WithoutADelay_LeavesTimeForTheAcknowledgement() =>
        Assert.Equal(InjectedFault.ShortestDelay, Read(("AzIoTHub_FaultOperationType", "KillTcp"), ("AzIoTHub_FaultOperationDelayInSecs", "0"))?.Delay);

    [Theory]
    [InlineData("AzIoTHub_FaultOperationType", "")]
    [InlineData("AzIoTHub_FaultOperationType", "0")]
    [InlineData("AzIoTHub_FaultOperationType", "killtcp")]
    [InlineData("AzIoTHub_FaultOperationType", "KillTcp, KillAmqpSession")]
    [InlineData("AzIoTHub_FaultOperationDelayInSecs", "soon")]
    [InlineData("AzIoTHub_FaultOperationDelayInSecs", "-1")]
    [InlineData("AzIoTHub_FaultOperationDelayInSecs", "301")]
    [InlineData("AzIoTHub_FaultOperationDelayInSecs", "99999999999999999999")]
    [InlineData("AzIoTHub_FaultOperationDurationInSecs", "5 ")]
    [InlineData("AzIoTHub_FaultOperationDurationInSecs", "301")]
    public void Read_WhatIsNoFault_IsNone(string name, string value)
    {
        Assert.Null(name.EndsWith("Type", StringComparison.Ordinal) ? Read((name, value)) : Read(("AzIoTHub_FaultOperationType", "KillTcp"), (name, value)));
        Assert.Null(Read(("unit", "C")));
    }

    [Fact]
    public void Read_ACloseReasonOfItsOwn_IsNotRepeated() =>
        Assert.Equal("injected fault KillTcp", Read(("AzIoTHub_FaultOperationType", "KillTcp"), ("AzIoTHub_FaultOperationCloseReason", "\u001b[31mred"))?.Text);

    private static InjectedFault? Read(params (string Name, string Value)[] properties)
    {
        var message = new MessageProperties();
        foreach (var (name, value) in properties)
            Assert.True(message.TryAdd(Encoding.UTF8.GetBytes(name), Encoding.UTF8.GetBytes(value)));
        return InjectedFault.Read(message);
    }
}
