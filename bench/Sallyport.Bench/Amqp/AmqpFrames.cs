using System.Buffers.Binary;
using System.Text;
using Sallyport.Protocol.Amqp;

namespace Sallyport.Bench.Amqp;

/// <summary>Frames as a client makes them, encoded once. Only what a load driver says; one session, on channel 0.</summary>
internal static class AmqpFrames
{
    public const byte Open = 0x10, Begin = 0x11, Attach = 0x12, Flow = 0x13, Transfer = 0x14, Disposition = 0x15, Detach = 0x16, End = 0x17, Close = 0x18;
    public const byte SaslOutcome = 0x44;

    /// <summary>Where <see cref="Telemetry"/> has its delivery id, four bytes big-endian; its tag is the same number.</summary>
    public const int DeliveryIdAt = 17, DeliveryTagAt = 23;

    /// <summary>Transfer frames that the driver takes before it says so again: what rhea, and so the Event Hubs client of Node, announces.</summary>
    public const uint IncomingWindow = 2048;

    public static byte[] Header { get; } = [.. "AMQP"u8, 0, 1, 0, 0];

    public static byte[] SaslHeader { get; } = [.. "AMQP"u8, 3, 1, 0, 0];

    private delegate int Fields(ref AmqpWriter writer);

    public static byte[] SaslPlain(string user, string password) => Frame(1, 0x41, (ref writer) =>
    {
        writer.Symbol("PLAIN"u8);
        writer.Binary(Encoding.UTF8.GetBytes($"\0{user}\0{password}"));
        return 2;
    });

    public static byte[] SaslAnonymous() => Frame(1, 0x41, (ref writer) =>
    {
        writer.Symbol("ANONYMOUS"u8);
        return 1;
    });

    public static byte[] OpenTo(string hostName) => Frame(0, Open, (ref writer) =>
    {
        writer.String("bench"u8);
        writer.String(Encoding.UTF8.GetBytes(hostName));
        return 2;
    });

    public static byte[] BeginSession() => Frame(0, Begin, (ref writer) =>
    {
        writer.Null();
        writer.UInt(0);
        writer.UInt(IncomingWindow);
        writer.UInt(uint.MaxValue);
        return 4;
    });

    /// <param name="selector">Of an Event Hubs reader; null for none.</param>
    public static byte[] AttachReceiver(uint handle, string source, string? selector = null) => AttachLink(handle, isReceiver: true, source, "bench", selector);

    public static byte[] AttachSender(uint handle, string target) => AttachLink(handle, isReceiver: false, "bench", target, null);

    public static byte[] DetachLink(uint handle) => Frame(0, Detach, (ref writer) =>
    {
        writer.UInt(handle);
        writer.Boolean(true);
        return 2;
    });

    /// <param name="received">Transfers that arrived in the session, and deliveries that arrived on the link: the same in a session with one reader.</param>
    public static byte[] Credit(uint handle, uint received, uint delivered, uint credit) => Frame(0, Flow, (ref writer) =>
    {
        writer.UInt(received);
        writer.UInt(IncomingWindow);
        writer.UInt(0);
        writer.UInt(uint.MaxValue);
        writer.UInt(handle);
        writer.UInt(delivered);
        writer.UInt(credit);
        return 7;
    });

    /// <summary>One message with a data section and nothing else, unsettled; id and tag are to be filled in.</summary>
    public static byte[] Telemetry(byte handle, int payloadBytes) => Unsettled(handle, Data(payloadBytes));

    /// <summary>One message to a device, unsettled; id and tag are where <see cref="Telemetry"/> has them.</summary>
    public static byte[] Command(byte handle, string to, int payloadBytes)
    {
        var properties = new byte[256];
        var writer = new AmqpWriter(properties);
        writer.Section(AmqpSection.Properties);
        var list = writer.BeginList();
        writer.String("00000000-0000-0000-0000-000000000000"u8);
        writer.Null();
        writer.String(Encoding.UTF8.GetBytes(to));
        writer.End(list, 3);
        return Unsettled(handle, [.. properties[..writer.Written], .. Data(payloadBytes)]);
    }

    private static byte[] Data(int payloadBytes)
    {
        byte[] data = [0x00, 0x53, 0x75, 0xb0, .. BigEndian(payloadBytes), .. new byte[payloadBytes]];
        data.AsSpan(8).Fill((byte)'x');
        return data;
    }

    private static byte[] Unsettled(byte handle, byte[] message)
    {
        byte[] fields = [0x52, handle, 0x70, 0, 0, 0, 0, 0xa0, 4, 0, 0, 0, 0, 0x43, 0x42];
        byte[] body = [0x00, 0x53, Transfer, 0xc0, (byte)(fields.Length + 1), 5, .. fields, .. message];
        return [.. BigEndian(8 + body.Length), 2, 0, 0, 0, .. body];
    }

    /// <summary>Puts a token on the <c>$cbs</c> link with this handle.</summary>
    public static byte[] PutToken(uint handle, string audience, string token)
    {
        var message = new byte[4096];
        var writer = new AmqpWriter(message);
        writer.Section(AmqpSection.Properties);
        var properties = writer.BeginList();
        writer.String("1"u8);
        writer.Null();
        writer.Null();
        writer.Null();
        writer.String("bench"u8);
        writer.End(properties, 5);
        writer.Section(AmqpSection.ApplicationProperties);
        var map = writer.BeginMap();
        writer.String("operation"u8);
        writer.String("put-token"u8);
        writer.String("type"u8);
        writer.String("servicebus.windows.net:sastoken"u8);
        writer.String("name"u8);
        writer.String(Encoding.UTF8.GetBytes(audience));
        writer.End(map, 6);
        writer.Section(AmqpSection.AmqpValue);
        writer.String(Encoding.UTF8.GetBytes(token));
        return Frame(0, Transfer, (ref transfer) =>
        {
            transfer.UInt(handle);
            transfer.UInt(0);
            transfer.Binary([1]);
            transfer.UInt(0);
            transfer.Boolean(true);
            return 5;
        }, message.AsSpan(0, writer.Written));
    }

    /// <summary>The performative of a frame that came from the hub; 0 for none.</summary>
    public static byte CodeOf(ReadOnlySpan<byte> frame) => frame.Length > 10 && frame[8] == 0 && frame[9] == 0x53 ? frame[10] : (byte)0;

    /// <summary>The fields of such a frame, and what follows them.</summary>
    public static AmqpReader FieldsOf(ReadOnlySpan<byte> frame, out ReadOnlySpan<byte> payload)
    {
        var reader = new AmqpReader(frame[8..]);
        if (!reader.TryRead(out var described))
            throw new IOException("a frame that could not be read");

        payload = frame[(8 + reader.Consumed)..];
        var parts = described.Elements();
        parts.TryRead(out _);
        parts.TryRead(out var list);
        return list.Elements();
    }

    private static byte[] AttachLink(uint handle, bool isReceiver, string source, string target, string? selector) => Frame(0, Attach, (ref writer) =>
    {
        writer.String(Encoding.UTF8.GetBytes($"bench-{handle}-{(isReceiver ? "in" : "out")}"));
        writer.UInt(handle);
        writer.Boolean(isReceiver);
        writer.Null();
        writer.Null();
        Terminus(ref writer, 0x28, source, selector);
        Terminus(ref writer, 0x29, target, null);
        if (isReceiver)
            return 7;

        writer.Null();
        writer.Null();
        writer.UInt(0);
        return 10;
    });

    private static void Terminus(ref AmqpWriter writer, byte code, string address, string? selector)
    {
        writer.Descriptor(code);
        var list = writer.BeginList();
        writer.String(Encoding.UTF8.GetBytes(address));
        if (selector is null)
        {
            writer.End(list, 1);
            return;
        }

        for (var i = 0; i < 6; i++)
            writer.Null();
        var filters = writer.BeginMap();
        writer.Symbol("apache.org:selector-filter:string"u8);
        writer.Encoded([0x00]);
        writer.ULong(0x0000_468C_0000_0004);
        writer.String(Encoding.UTF8.GetBytes(selector));
        writer.End(filters, 2);
        writer.End(list, 8);
    }

    private static byte[] Frame(byte type, byte code, Fields fields, ReadOnlySpan<byte> payload = default)
    {
        var bytes = new byte[4096 + payload.Length];
        var writer = new AmqpWriter(bytes.AsSpan(8));
        writer.Descriptor(code);
        var list = writer.BeginList();
        writer.End(list, fields(ref writer));
        writer.Encoded(payload);
        var length = 8 + writer.Written;
        BinaryPrimitives.WriteInt32BigEndian(bytes, length);
        (bytes[4], bytes[5]) = (2, type);
        return bytes[..length];
    }

    private static byte[] BigEndian(int value)
    {
        var bytes = new byte[4];
        BinaryPrimitives.WriteInt32BigEndian(bytes, value);
        return bytes;
    }
}
