namespace Sallyport.Protocol.Amqp.Performatives;

/// <summary>attach (AMQP 1.0 part 2, 2.7.3), as far as a hub and its clients look at it.</summary>
public sealed record Attach
{
    internal const int MaxNameBytes = 1024;

    /// <summary>The longest attach, in bytes; much of it is kept as long as the link. Beyond it the connection is closed.</summary>
    internal const int MaxBytes = 16 * 1024;

    /// <summary>Of the link; unique in the direction between two containers.</summary>
    public required string Name { get; init; }

    public uint Handle { get; init; }

    /// <summary>Who sends this attach is the link's receiver.</summary>
    public bool IsReceiver { get; init; }

    /// <summary>Null when the peer did not say.</summary>
    public SenderSettleMode? SenderSettleMode { get; init; }

    /// <summary>Null when the peer did not say.</summary>
    public ReceiverSettleMode? ReceiverSettleMode { get; init; }

    public Terminus? Source { get; init; }

    public Terminus? Target { get; init; }

    public uint InitialDeliveryCount { get; init; }

    /// <summary>In bytes; 0 for no bound.</summary>
    public ulong MaxMessageSize { get; init; }

    /// <summary>The desired capabilities as they came: one symbol or an array; empty when there are none.</summary>
    public byte[] DesiredCapabilities { get; init; } = [];

    /// <summary>The link's properties, an encoded map; empty when there are none.</summary>
    public byte[] Properties { get; init; } = [];

    /// <summary>A property of the link.</summary>
    public bool TryFindProperty(ReadOnlySpan<byte> key, out AmqpValue value) => AmqpMap.Read(Properties).TryFind(key, out value);

    /// <summary>Whether the peer asks for a capability.</summary>
    public bool Desires(ReadOnlySpan<byte> capability)
    {
        var reader = new AmqpReader(DesiredCapabilities);
        if (!reader.TryRead(out var value))
            return false;
        if (value.Type == AmqpType.Symbol)
            return value.Content.SequenceEqual(capability);

        var elements = value.Elements();
        while (value.Type == AmqpType.Array && elements.TryRead(out var element))
        {
            if (element.Content.SequenceEqual(capability))
                return true;
        }

        return false;
    }

    internal static Attach Read(AmqpValue list)
    {
        if (list.Content.Length > MaxBytes)
            throw new AmqpProtocolException(AmqpConditions.ResourceLimitExceeded, $"an attach of more than {MaxBytes} bytes");

        var fields = new Fields(list, "attach");
        var name = fields.Text(MaxNameBytes) ?? throw new AmqpProtocolException(AmqpConditions.DecodeError, "attach: name is missing");
        var handle = fields.RequiredUInt();
        var isReceiver = fields.RequiredBoolean();
        var senderMode = fields.OptionalUByte();
        var receiverMode = fields.OptionalUByte();
        if (senderMode > 2 || receiverMode > 1)
            throw new AmqpProtocolException(AmqpConditions.DecodeError, "attach: a settle mode that does not exist");

        var source = fields.EncodedTerminus(isSource: true);
        var target = fields.EncodedTerminus(isSource: false);
        fields.Skip(); // unsettled: nothing is resumed.
        fields.Skip(); // incomplete-unsettled
        return new Attach
        {
            Name = name,
            Handle = handle,
            IsReceiver = isReceiver,
            SenderSettleMode = (SenderSettleMode?)senderMode,
            ReceiverSettleMode = (ReceiverSettleMode?)receiverMode,
            Source = source,
            Target = target,
            InitialDeliveryCount = fields.UInt(0),
            MaxMessageSize = fields.ULong(0),
            DesiredCapabilities = fields.DesiredCapabilities(),
            Properties = fields.Map(),
        };
    }

    /// <summary>Bytes that Write needs at most.</summary>
    internal int Bound => 256 + (Name.Length * 3) + (Source?.Encoded.Length ?? 0) + (Target?.Encoded.Length ?? 0) + Properties.Length + DesiredCapabilities.Length;

    /// <summary>Whether it takes no more than so many bytes; written for it only when that is close.</summary>
    internal bool Fits(int bytes)
    {
        if (Bound <= bytes)
            return true;

        var writer = new AmqpWriter(new byte[Bound]);
        Write(ref writer);
        return writer.Written <= bytes;
    }

    internal void Write(ref AmqpWriter writer)
    {
        writer.Descriptor(PerformativeCode.Attach);
        var list = writer.BeginList();
        writer.String(System.Text.Encoding.UTF8.GetBytes(Name));
        writer.UInt(Handle);
        writer.Boolean(IsReceiver);
        writer.UByte((byte)(SenderSettleMode ?? Performatives.SenderSettleMode.Mixed));
        writer.UByte((byte)(ReceiverSettleMode ?? Performatives.ReceiverSettleMode.First));
        Write(ref writer, Source);
        Write(ref writer, Target);
        writer.Null(); // unsettled
        writer.Boolean(false); // incomplete-unsettled
        if (IsReceiver)
            writer.Null();
        else
            writer.UInt(InitialDeliveryCount); // [AMQP-2.7.3] Must be there when the sender attaches.
        writer.ULong(MaxMessageSize);
        writer.Null(); // offered-capabilities
        if (DesiredCapabilities.Length == 0)
            writer.Null();
        else
            writer.Encoded(DesiredCapabilities);
        if (Properties.Length == 0)
            writer.Null();
        else
            writer.Encoded(Properties);
        writer.End(list, 14);
    }

    private static void Write(ref AmqpWriter writer, Terminus? terminus)
    {
        if (terminus is null)
            writer.Null();
        else
            writer.Encoded(terminus.Encoded);
    }
}

/// <summary>detach (AMQP 1.0 part 2, 2.7.7).</summary>
internal readonly record struct Detach(uint Handle, bool Closed, AmqpError? Error)
{
    public static Detach Read(AmqpValue list)
    {
        var fields = new Fields(list, "detach");
        return new Detach(fields.RequiredUInt(), fields.Boolean(), fields.Error());
    }

    public void Write(ref AmqpWriter writer)
    {
        writer.Descriptor(PerformativeCode.Detach);
        var list = writer.BeginList();
        writer.UInt(Handle);
        writer.Boolean(Closed);
        Ending.WriteError(ref writer, Error);
        writer.End(list, 3);
    }
}

/// <summary>flow (AMQP 1.0 part 2, 2.7.4).</summary>
internal readonly record struct Flow(
    uint? NextIncomingId, uint IncomingWindow, uint NextOutgoingId, uint OutgoingWindow,
    uint? Handle, uint? DeliveryCount, uint? LinkCredit, uint? Available, bool Drain, bool Echo)
{
    public const int Bound = 80;

    public static Flow Read(AmqpValue list)
    {
        var fields = new Fields(list, "flow");
        return new Flow(
            fields.OptionalUInt(), fields.RequiredUInt(), fields.RequiredUInt(), fields.RequiredUInt(),
            fields.OptionalUInt(), fields.OptionalUInt(), fields.OptionalUInt(), fields.OptionalUInt(), fields.Boolean(), fields.Boolean());
    }

    public void Write(ref AmqpWriter writer)
    {
        writer.Descriptor(PerformativeCode.Flow);
        var list = writer.BeginList();
        Write(ref writer, NextIncomingId);
        writer.UInt(IncomingWindow);
        writer.UInt(NextOutgoingId);
        writer.UInt(OutgoingWindow);
        Write(ref writer, Handle);
        Write(ref writer, DeliveryCount);
        Write(ref writer, LinkCredit);
        Write(ref writer, Available);
        writer.Boolean(Drain);
        writer.Boolean(Echo);
        writer.Null(); // properties
        writer.End(list, 11);
    }

    private static void Write(ref AmqpWriter writer, uint? value)
    {
        if (value is { } number)
            writer.UInt(number);
        else
            writer.Null();
    }
}

/// <summary>transfer (AMQP 1.0 part 2, 2.7.5).</summary>
internal readonly ref struct Transfer
{
    public uint Handle { get; private init; }
    public uint? DeliveryId { get; private init; }
    public ReadOnlySpan<byte> DeliveryTag { get; private init; }
    public uint MessageFormat { get; private init; }
    public bool Settled { get; private init; }
    public bool More { get; private init; }
    public bool Aborted { get; private init; }

    public static Transfer Read(AmqpValue list)
    {
        var fields = new Fields(list, "transfer");
        var handle = fields.RequiredUInt();
        var deliveryId = fields.OptionalUInt();
        var tag = fields.Binary();
        var format = fields.UInt(0);
        var settled = fields.Boolean();
        var more = fields.Boolean();
        fields.Skip(); // rcv-settle-mode
        fields.Skip(); // state
        fields.Skip(); // resume
        return new Transfer
        {
            Handle = handle, DeliveryId = deliveryId, DeliveryTag = tag, MessageFormat = format, Settled = settled, More = more, Aborted = fields.Boolean(),
        };
    }

    /// <summary>Bytes that <see cref="Write"/> needs at most besides the tag.</summary>
    public const int Bound = 64;

    /// <summary>All eleven fields, on every frame of a delivery: readers exist that count them.</summary>
    public static void Write(ref AmqpWriter writer, uint handle, uint deliveryId, ReadOnlySpan<byte> tag, uint format, bool settled, bool more)
    {
        writer.Descriptor(PerformativeCode.Transfer);
        var list = writer.BeginList();
        writer.UInt(handle);
        writer.UInt(deliveryId);
        writer.Binary(tag);
        writer.UInt(format);
        writer.Boolean(settled);
        writer.Boolean(more);
        writer.Null(); // rcv-settle-mode
        writer.Null(); // state
        writer.Boolean(false); // resume
        writer.Boolean(false); // aborted
        writer.Boolean(false); // batchable
        writer.End(list, 11);
    }
}

/// <summary>disposition (AMQP 1.0 part 2, 2.7.6).</summary>
internal readonly record struct Disposition(bool IsReceiver, uint First, uint Last, bool Settled, DeliveryState State, AmqpError? Error)
{
    public int Bound => 80 + Ending.Bound(Error);

    public static Disposition Read(AmqpValue list)
    {
        var fields = new Fields(list, "disposition");
        var isReceiver = fields.RequiredBoolean();
        var first = fields.RequiredUInt();
        var last = fields.UInt(first); // [AMQP-2.7.6]
        var settled = fields.Boolean();
        var state = fields.Next();
        if (state.Type == AmqpType.Null)
            return new Disposition(isReceiver, first, last, settled, DeliveryState.None, null);

        // A state that we do not know (of transactions) says nothing to us.
        if (!Fields.TryDescribed(state, out var code, out var content) || code is < (ulong)DeliveryState.Received or > (ulong)DeliveryState.Modified)
            return new Disposition(isReceiver, first, last, settled, DeliveryState.None, null);

        var error = default(AmqpError); // [AMQP-3.4.2] [AMQP-3.4.4] [AMQP-3.4.5] The others say nothing that is asked for.
        if (code == (ulong)DeliveryState.Rejected) // [AMQP-3.4.3]
        {
            var rejected = new Fields(content, "rejected");
            error = rejected.Error();
        }

        return new Disposition(isReceiver, first, last, settled, (DeliveryState)code, error);
    }

    public void Write(ref AmqpWriter writer)
    {
        writer.Descriptor(PerformativeCode.Disposition);
        var list = writer.BeginList();
        writer.Boolean(IsReceiver);
        writer.UInt(First);
        writer.UInt(Last);
        writer.Boolean(Settled);
        WriteState(ref writer);
        writer.Boolean(false); // batchable
        writer.End(list, 6);
    }

    private void WriteState(ref AmqpWriter writer)
    {
        if (State == DeliveryState.None)
        {
            writer.Null();
            return;
        }

        writer.Descriptor((byte)State);
        var fields = writer.BeginList();
        if (State == DeliveryState.Rejected)
            Ending.WriteError(ref writer, Error);
        writer.End(fields, State == DeliveryState.Rejected ? 1 : 0);
    }
}
