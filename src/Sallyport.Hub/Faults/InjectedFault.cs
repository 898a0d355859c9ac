using System.Buffers.Text;
using Sallyport.Protocol.Messages;

namespace Sallyport.Hub.Faults;

/// <summary>What a client's test may ask the hub to do to the client's own connection. The names are those of <c>AzIoTHub_FaultOperationType</c>.</summary>
public enum FaultKind
{
    /// <summary>The transport is cut, without a word.</summary>
    KillTcp,

    /// <summary>AMQP: close with an error, and nothing before it.</summary>
    KillAmqpConnection,

    /// <summary>AMQP: the sessions that carry this identity's links end.</summary>
    KillAmqpSession,

    /// <summary>AMQP: the links on which tokens are put are detached.</summary>
    KillAmqpCBSLinkReq,

    /// <summary>AMQP: the links on which tokens are answered are detached.</summary>
    KillAmqpCBSLinkResp,

    KillAmqpD2CLink,
    KillAmqpC2DLink,
    KillAmqpTwinLinkReq,
    KillAmqpTwinLinkResp,
    KillAmqpMethodReqLink,
    KillAmqpMethodRespLink,

    /// <summary>AMQP: links, sessions and connection are ended in their order.</summary>
    ShutDownAmqp,

    /// <summary>MQTT: the connection ends once all acknowledgements are out.</summary>
    ShutDownMqtt,

    /// <summary>For the fault's duration telemetry is refused as if there were too much of it.</summary>
    InvokeThrottling,

    /// <summary>For the fault's duration telemetry is refused as if the day's quota were used up.</summary>
    InvokeMaxMessageQuota,

    /// <summary>For the fault's duration telemetry is refused as if the identity had no right to send it.</summary>
    InvokeAuthError,
}

/// <summary>
/// A fault that a message asks for, in the application properties that Azure's SDKs test themselves with
/// (<c>AzIoTHub_FaultOperationType</c>, <c>…CloseReason</c>, <c>…DelayInSecs</c>, <c>…DurationInSecs</c>). Immutable.
/// </summary>
/// <param name="Delay">From the message to the fault; see <see cref="ShortestDelay"/> and <see cref="Longest"/>.</param>
/// <param name="Duration">Of the kinds that refuse telemetry.</param>
/// <param name="Text">What logs, diagnosis and the client read of it.</param>
public sealed record InjectedFault(FaultKind Kind, TimeSpan Delay, TimeSpan Duration, string Text)
{
    /// <summary>A shorter delay is this: the message that asks is acknowledged first.</summary>
    public static readonly TimeSpan ShortestDelay = TimeSpan.FromMilliseconds(100);

    /// <summary>Of delay and duration; whoever asks for longer asks for nothing.</summary>
    public static readonly TimeSpan Longest = TimeSpan.FromMinutes(5);

    /// <summary>What a message without the property asks for.</summary>
    private const int DefaultDelay = 2, DefaultDuration = 5;

    /// <summary>Null: the message asks for none, or for one that there is not; then it is telemetry and nothing else.</summary>
    internal static InjectedFault? Read(MessageProperties message)
    {
        FaultKind? kind = null;
        var reason = "";
        int? delay = DefaultDelay, duration = DefaultDuration;
        for (var i = 0; i < message.Count; i++)
        {
            if (!message.Name(i).StartsWith("AzIoTHub_FaultOperation"u8))
                continue;

            var value = message.Value(i);
            switch (message.Name(i)["AzIoTHub_FaultOperation".Length..])
            {
                case var name when name.SequenceEqual("Type"u8):
                    kind = KindOf(value);
                    break;
                case var name when name.SequenceEqual("CloseReason"u8):
                    // Of the two that there are: what a client writes does not go into logs as it is.
                    reason = value.SequenceEqual("boom"u8) ? " (boom)" : value.SequenceEqual("byebye"u8) ? " (byebye)" : "";
                    break;
                case var name when name.SequenceEqual("DelayInSecs"u8):
                    delay = SecondsOf(value);
                    break;
                case var name when name.SequenceEqual("DurationInSecs"u8):
                    duration = SecondsOf(value);
                    break;
            }
        }

        if (kind is not { } asked || delay is not { } wait || duration is not { } lasts)
            return null;

        var after = TimeSpan.FromSeconds(wait);
        return new InjectedFault(asked, after < ShortestDelay ? ShortestDelay : after, TimeSpan.FromSeconds(lasts), $"injected fault {asked}{reason}");
    }

    private static FaultKind? KindOf(ReadOnlySpan<byte> text)
    {
        foreach (var kind in Enum.GetValues<FaultKind>())
        {
            if (text.SequenceEqual(System.Text.Encoding.ASCII.GetBytes(kind.ToString())))
                return kind;
        }

        return null;
    }

    private static int? SecondsOf(ReadOnlySpan<byte> text) =>
        Utf8Parser.TryParse(text, out int seconds, out var read) && read == text.Length && seconds >= 0 && seconds <= Longest.TotalSeconds ? seconds : null;
}
