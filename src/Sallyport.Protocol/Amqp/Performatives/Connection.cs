namespace Sallyport.Protocol.Amqp.Performatives;

/// <summary>open (AMQP 1.0 part 2, 2.7.1). The properties are not looked at: they may hold anything, before anybody is authenticated.</summary>
internal sealed record Open(string ContainerId, string? HostName, uint MaxFrameSize, ushort ChannelMax, uint IdleTimeOutMs)
{
    private const int MaxNameBytes = 1024;

    public static Open Read(AmqpValue list)
    {
        var fields = new Fields(list, "open");
        return new Open(
            fields.Text(MaxNameBytes) ?? throw new AmqpProtocolException(AmqpConditions.DecodeError, "open: container-id is missing"),
            fields.Text(MaxNameBytes),
            fields.UInt(uint.MaxValue),
            fields.UShort(ushort.MaxValue),
            fields.UInt(0));
    }

    public void Write(ref AmqpWriter writer)
    {
        writer.Descriptor(PerformativeCode.Open);
        var list = writer.BeginList();
        writer.String(System.Text.Encoding.UTF8.GetBytes(ContainerId));
        if (HostName is null)
            writer.Null();
        else
            writer.String(System.Text.Encoding.UTF8.GetBytes(HostName));
        writer.UInt(MaxFrameSize);
        writer.UShort(ChannelMax);
        writer.UInt(IdleTimeOutMs);
        for (var field = 5; field < 10; field++)
            writer.Null(); // Locales, capabilities, properties.
        writer.End(list, 10);
    }
}

/// <summary>begin (AMQP 1.0 part 2, 2.7.2).</summary>
internal readonly record struct Begin(ushort? RemoteChannel, uint NextOutgoingId, uint IncomingWindow, uint OutgoingWindow, uint HandleMax)
{
    public static Begin Read(AmqpValue list)
    {
        var fields = new Fields(list, "begin");
        return new Begin(fields.OptionalUShort(), fields.RequiredUInt(), fields.RequiredUInt(), fields.RequiredUInt(), fields.UInt(uint.MaxValue));
    }

    public void Write(ref AmqpWriter writer)
    {
        writer.Descriptor(PerformativeCode.Begin);
        var list = writer.BeginList();
        if (RemoteChannel is { } channel)
            writer.UShort(channel);
        else
            writer.Null();
        writer.UInt(NextOutgoingId);
        writer.UInt(IncomingWindow);
        writer.UInt(OutgoingWindow);
        writer.UInt(HandleMax);
        for (var field = 5; field < 8; field++)
            writer.Null();
        writer.End(list, 8);
    }
}

/// <summary>end, close and detach: what they have in common.</summary>
internal static class Ending
{
    private const int MaxConditionBytes = 256;

    /// <summary>Bytes that <see cref="Write"/> needs at most for this error.</summary>
    public static int Bound(AmqpError? error) => error is null ? 32
        : 128 + error.Condition.Length + (error.Description.Length * 3)
            + (error.Redirect is { } redirect ? 128 + ((redirect.HostName.Length + redirect.NetworkHost.Length + redirect.Address.Length) * 3) : 0);

    /// <summary>end and close (AMQP 1.0 part 2, 2.7.8 and 2.7.9).</summary>
    public static void Write(ref AmqpWriter writer, byte code, AmqpError? error)
    {
        writer.Descriptor(code);
        var list = writer.BeginList();
        WriteError(ref writer, error);
        writer.End(list, 1);
    }

    /// <summary>The error as far as so many bytes go: without its description, or without the way to go instead too, when they are too long.</summary>
    public static AmqpError? Fitting(AmqpError? error, int bytes)
    {
        if (error is null || Fits(error, bytes))
            return error;

        var condition = error with { Description = "" };
        return Fits(condition, bytes) ? condition : condition with { Redirect = null };
    }

    public static AmqpError? Read(AmqpValue list, string of)
    {
        var fields = new Fields(list, of);
        return fields.Error();
    }

    public static void WriteError(ref AmqpWriter writer, AmqpError? error)
    {
        if (error is null)
        {
            writer.Null();
            return;
        }

        writer.Descriptor(PerformativeCode.Error);
        var list = writer.BeginList();
        Text(ref writer, error.Condition.Length > MaxConditionBytes ? AmqpConditions.InternalError : error.Condition, isSymbol: true);
        Text(ref writer, error.Description, isSymbol: false);
        if (error.Redirect is { } redirect)
        {
            var map = writer.BeginMap(); // [AMQP-2.8.18]
            writer.Symbol("hostname"u8);
            Text(ref writer, redirect.HostName, isSymbol: false);
            writer.Symbol("network-host"u8);
            Text(ref writer, redirect.NetworkHost, isSymbol: false);
            writer.Symbol("port"u8);
            writer.UShort((ushort)redirect.Port);
            writer.Symbol("address"u8);
            Text(ref writer, redirect.Address, isSymbol: false);
            writer.End(map, 8);
        }
        else
        {
            writer.Null();
        }

        writer.End(list, 3);
    }

    private static bool Fits(AmqpError error, int bytes)
    {
        if (Bound(error) <= bytes)
            return true;

        var writer = new AmqpWriter(new byte[Bound(error)]);
        WriteError(ref writer, error);
        return writer.Written <= bytes;
    }

    private static void Text(ref AmqpWriter writer, string text, bool isSymbol)
    {
        var bytes = System.Text.Encoding.UTF8.GetBytes(text);
        if (isSymbol)
            writer.Symbol(bytes);
        else
            writer.String(bytes);
    }
}
