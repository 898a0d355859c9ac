using System.Buffers;

namespace Sallyport.Protocol.Mqtt;

/// <summary>One control packet cut out of the byte stream: fixed header taken apart, the rest as it came. Valid as long as the buffer it was read from.</summary>
/// <param name="Flags">The low four bits of the first byte.</param>
/// <param name="Body">Variable header and payload.</param>
public readonly record struct MqttFrame(MqttPacketType Type, byte Flags, ReadOnlySequence<byte> Body)
{
    /// <summary>The longest fixed header: type and four bytes of remaining length.</summary>
    public const int MaxHeaderLength = 5;

    /// <summary>Reads the next packet, and moves <paramref name="input"/> behind it.</summary>
    /// <param name="input">What has arrived; unchanged when no whole packet is there.</param>
    /// <param name="maxRemaining">The longest body that is acceptable now, in bytes.</param>
    /// <returns>False when more bytes are needed.</returns>
    /// <exception cref="MqttProtocolException">The header is not valid or the packet too long; found as soon as the header is there.</exception>
    public static bool TryRead(ref ReadOnlySequence<byte> input, int maxRemaining, out MqttFrame frame)
    {
        frame = default;
        Span<byte> copy = stackalloc byte[MaxHeaderLength];
        scoped ReadOnlySpan<byte> head = input.FirstSpan;
        if (head.Length < MaxHeaderLength && !input.IsSingleSegment)
        {
            var prefix = input.Slice(0, Math.Min(input.Length, MaxHeaderLength));
            prefix.CopyTo(copy);
            head = copy[..(int)prefix.Length];
        }

        if (head.IsEmpty)
            return false;

        var type = head[0] >> 4;
        if (type is < (int)MqttPacketType.Connect or > (int)MqttPacketType.Disconnect)
            throw new MqttProtocolException($"packet type {type} is reserved");

        var remaining = 0;
        var at = 1;
        while (true)
        {
            if (at == MaxHeaderLength)
                throw new MqttProtocolException("the remaining length has more than four bytes");
            if (at == head.Length)
                return false;

            var digit = head[at];
            remaining |= (digit & 0x7f) << (7 * (at - 1));
            at++;
            if (digit < 0x80)
                break;
        }

        if (remaining > maxRemaining)
            throw TooLong((MqttPacketType)type, remaining, maxRemaining);
        if (input.Length < at + remaining)
            return false;

        frame = new MqttFrame((MqttPacketType)type, (byte)(head[0] & 0x0f), input.Slice(at, remaining));
        input = input.Slice(frame.Body.End);
        return true;
    }

    private static MqttProtocolException TooLong(MqttPacketType type, int remaining, int maxRemaining) =>
        new(Errors.HubErrors.MessageTooLarge, $"{type} of {remaining} bytes is longer than the {maxRemaining} that are taken now");
}
