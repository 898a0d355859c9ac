using System.Buffers;
using Sallyport.Protocol.Amqp.Performatives;

namespace Sallyport.Protocol.Amqp.Endpoints;

/// <content>Headers and SASL: which layer the peer speaks, and who it wants to be (AMQP 1.0 part 2, 2.2 and part 5, 5.3).</content>
public sealed partial class AmqpConnection
{
    private static ReadOnlySpan<byte> AmqpHeader => "AMQP\0\u0001\0\0"u8;

    private static ReadOnlySpan<byte> SaslHeader => "AMQP\u0003\u0001\0\0"u8;

    // Client.
    private string? _hostName;
    private SaslInit? _ownSasl;

    private AmqpStep OnHeader(ref ReadOnlySequence<byte> input)
    {
        // What cannot become a header any more is answered before it is whole.
        var length = (int)Math.Min(input.Length, AmqpHeader.Length);
        Span<byte> header = stackalloc byte[AmqpHeader.Length];
        input.Slice(0, length).CopyTo(header);
        header = header[..length];
        var isAmqp = AmqpHeader.StartsWith(header);
        var isSasl = _phase == Phase.Header && SaslHeader.StartsWith(header);
        if (!isAmqp && !isSasl)
        {
            if (IsServer)
                Output.Write(AmqpHeader); // [AMQP-2.2] What is supported, then the end.
            _phase = Phase.Closed;
            throw new AmqpProtocolException(AmqpConditions.FramingError, "the first bytes are no header of AMQP 1.0.0");
        }

        if (length < AmqpHeader.Length)
            return AmqpStep.NeedMore;

        input = input.Slice(AmqpHeader.Length);
        return isSasl ? OnSaslHeader() : OnAmqpHeader();
    }

    private AmqpStep OnSaslHeader()
    {
        _phase = Phase.Sasl;
        if (!IsServer)
            return AmqpStep.Handled; // The server's mechanisms follow.

        Output.Write(SaslHeader);
        Span<byte> bytes = stackalloc byte[512]; // [AMQP-5.3.1] No SASL frame of ours is larger.
        var writer = new AmqpWriter(bytes[AmqpFrame.HeaderLength..]);
        Sasl.WriteMechanisms(ref writer, [.. Mechanisms]);
        Send(bytes, writer.Written, AmqpFrame.SaslType, 0);
        return AmqpStep.Handled;
    }

    private AmqpStep OnAmqpHeader()
    {
        if (!IsServer && _phase == Phase.Header) // [AMQP-5.3.2] Whoever asks for SASL does not go on without it.
            throw new AmqpProtocolException(AmqpConditions.FramingError, "the server skipped SASL");

        _phase = Phase.Open;
        if (IsServer)
            Output.Write(AmqpHeader);
        return AmqpStep.Handled;
    }

    private AmqpStep OnSasl(in AmqpFrame frame)
    {
        if (frame.Type != AmqpFrame.SaslType)
            throw new AmqpProtocolException(AmqpConditions.FramingError, "a frame that is not of SASL before SASL was over");

        var reader = new AmqpReader(frame.Body);
        if (!reader.TryRead(out var value) || !Fields.TryDescribed(value, out var code, out var list))
            throw new AmqpProtocolException(AmqpConditions.DecodeError, "a SASL frame that could not be read");

        if (IsServer && code == PerformativeCode.SaslInit && SaslInit is null)
        {
            SaslInit = SaslInit.Read(list);
            return AmqpStep.SaslInit;
        }

        if (!IsServer && code == PerformativeCode.SaslMechanisms)
            return OnMechanisms(list);
        if (!IsServer && code == PerformativeCode.SaslOutcome)
            return OnSaslOutcome(list);

        throw new AmqpProtocolException(AmqpConditions.NotAllowed, "a SASL frame out of turn");
    }

    private AmqpStep OnMechanisms(AmqpValue list)
    {
        var own = _ownSasl!;
        if (!Sasl.Offers(list, own.Mechanism))
            throw new AmqpProtocolException(AmqpConditions.NotImplemented, $"the server does not offer {own.Mechanism}");

        var bytes = new byte[256 + own.Response.Length + ((_hostName?.Length ?? 0) * 3)];
        var writer = new AmqpWriter(bytes.AsSpan(AmqpFrame.HeaderLength));
        Sasl.WriteInit(ref writer, own.Mechanism, own.Response, _hostName);
        Send(bytes, writer.Written, AmqpFrame.SaslType, 0);
        return AmqpStep.Handled;
    }

    private AmqpStep OnSaslOutcome(AmqpValue list)
    {
        var fields = new Fields(list, "sasl-outcome");
        SaslOutcome = (SaslCode)(fields.OptionalUByte() ?? (byte)SaslCode.Sys);
        if (SaslOutcome == SaslCode.Ok)
        {
            _phase = Phase.AmqpHeader;
            Output.Write(AmqpHeader);
            WriteOpen(_hostName);
        }
        else
        {
            _phase = Phase.Closed;
        }

        return AmqpStep.SaslOutcome;
    }
}
