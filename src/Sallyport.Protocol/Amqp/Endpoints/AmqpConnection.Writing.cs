using Sallyport.Protocol.Amqp.Performatives;

namespace Sallyport.Protocol.Amqp.Endpoints;

/// <content>Frames on their way out.</content>
public sealed partial class AmqpConnection
{
    internal void WriteAttach(AmqpSession session, Attach attach)
    {
        var bytes = Output.GetSpan(AmqpFrame.HeaderLength + attach.Bound);
        var writer = new AmqpWriter(bytes[AmqpFrame.HeaderLength..]);
        attach.Write(ref writer);
        Finish(bytes, writer.Written, session.LocalChannel);
    }

    internal void WriteDetach(AmqpSession session, in Detach detach)
    {
        var fitting = detach with { Error = Fitting(detach.Error) };
        var bytes = Output.GetSpan(AmqpFrame.HeaderLength + 32 + Ending.Bound(fitting.Error));
        var writer = new AmqpWriter(bytes[AmqpFrame.HeaderLength..]);
        fitting.Write(ref writer);
        Finish(bytes, writer.Written, session.LocalChannel);
    }

    internal void WriteEnd(AmqpSession session, AmqpError? error) => WriteEnding(PerformativeCode.End, error, session.LocalChannel);

    internal void WriteFlow(AmqpSession session, uint? handle, uint? deliveryCount, uint? credit, uint? available, bool drain)
    {
        var bytes = Output.GetSpan(AmqpFrame.HeaderLength + Flow.Bound);
        var writer = new AmqpWriter(bytes[AmqpFrame.HeaderLength..]);
        var flow = session.NewFlow() with { Handle = handle, DeliveryCount = deliveryCount, LinkCredit = credit, Available = available, Drain = drain };
        flow.Write(ref writer);
        Finish(bytes, writer.Written, session.LocalChannel);
    }

    internal void WriteDisposition(AmqpSession session, in Disposition disposition)
    {
        var fitting = disposition with { Error = Fitting(disposition.Error) };
        var bytes = Output.GetSpan(AmqpFrame.HeaderLength + fitting.Bound);
        var writer = new AmqpWriter(bytes[AmqpFrame.HeaderLength..]);
        fitting.Write(ref writer);
        Finish(bytes, writer.Written, session.LocalChannel);
    }

    /// <summary>Writes one frame of a message.</summary>
    /// <param name="sent">Bytes of head and message that earlier frames took.</param>
    /// <returns>Bytes that this frame took.</returns>
    internal int WriteTransfer(
        AmqpSession session, uint handle, uint deliveryId, ReadOnlySpan<byte> tag, uint format, bool settled,
        ReadOnlySpan<byte> head, ReadOnlySpan<byte> message, int sent)
    {
        var left = head.Length + message.Length - sent;
        var overhead = AmqpFrame.HeaderLength + Transfer.Bound + tag.Length;
        var fits = OutgoingFrameSize - overhead;
        var take = Math.Min(left, fits);
        var bytes = Output.GetSpan(overhead + take);
        var writer = new AmqpWriter(bytes[AmqpFrame.HeaderLength..]);
        Transfer.Write(ref writer, handle, deliveryId, tag, format, settled, more: take < left);
        if (sent < head.Length)
        {
            var fromHead = Math.Min(take, head.Length - sent);
            writer.Encoded(head.Slice(sent, fromHead));
            writer.Encoded(message[..(take - fromHead)]);
        }
        else
        {
            writer.Encoded(message.Slice(sent - head.Length, take));
        }

        Finish(bytes, writer.Written, session.LocalChannel);
        return take;
    }

    private void WriteOpen(string? hostName)
    {
        var open = new Open(Options.ContainerId, hostName, (uint)Options.MaxFrameSize, Options.ChannelMax, (uint)Options.IdleTimeOut.TotalMilliseconds);
        var bytes = Output.GetSpan(256 + (Options.ContainerId.Length * 3) + ((hostName?.Length ?? 0) * 3));
        var writer = new AmqpWriter(bytes[AmqpFrame.HeaderLength..]);
        open.Write(ref writer);
        Finish(bytes, writer.Written, 0);
    }

    private void WriteBegin(AmqpSession session, ushort? remoteChannel)
    {
        var bytes = Output.GetSpan(96);
        var writer = new AmqpWriter(bytes[AmqpFrame.HeaderLength..]);
        new Begin(remoteChannel, session.NextOutgoingId, Options.IncomingWindow, uint.MaxValue, Options.HandleMax).Write(ref writer);
        Finish(bytes, writer.Written, session.LocalChannel);
    }

    private void WriteClose(AmqpError? error) => WriteEnding(PerformativeCode.Close, error, 0);

    private void WriteEnding(byte code, AmqpError? error, ushort channel)
    {
        error = Fitting(error);
        var bytes = Output.GetSpan(AmqpFrame.HeaderLength + 32 + Ending.Bound(error));
        var writer = new AmqpWriter(bytes[AmqpFrame.HeaderLength..]);
        Ending.Write(ref writer, code, error);
        Finish(bytes, writer.Written, channel);
    }

    // What a detach, an end, a close or a disposition says besides an error is less than 64 bytes.
    private AmqpError? Fitting(AmqpError? error) => Ending.Fitting(error, OutgoingFrameSize - AmqpFrame.HeaderLength - 64);

    private void Finish(Span<byte> bytes, int bodyLength, ushort channel)
    {
        AmqpFrame.WriteHeader(bytes[..(AmqpFrame.HeaderLength + bodyLength)], AmqpFrame.AmqpType, channel);
        Output.Advance(AmqpFrame.HeaderLength + bodyLength);
    }

    private void Send(Span<byte> frame, int bodyLength, byte type, ushort channel)
    {
        frame = frame[..(AmqpFrame.HeaderLength + bodyLength)];
        AmqpFrame.WriteHeader(frame, type, channel);
        frame.CopyTo(Output.GetSpan(frame.Length));
        Output.Advance(frame.Length);
    }
}
