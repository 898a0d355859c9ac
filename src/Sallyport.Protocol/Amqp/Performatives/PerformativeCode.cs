namespace Sallyport.Protocol.Amqp.Performatives;

/// <summary>Descriptors of the frames' performatives (AMQP 1.0 part 2, 2.7 and part 5, 5.3) and of what they hold. Numbers are the standard's.</summary>
internal static class PerformativeCode
{
    public const byte Open = 0x10;
    public const byte Begin = 0x11;
    public const byte Attach = 0x12;
    public const byte Flow = 0x13;
    public const byte Transfer = 0x14;
    public const byte Disposition = 0x15;
    public const byte Detach = 0x16;
    public const byte End = 0x17;
    public const byte Close = 0x18;
    public const byte Error = 0x1d;
    public const byte Source = 0x28;
    public const byte Target = 0x29;
    public const byte SaslMechanisms = 0x40;
    public const byte SaslInit = 0x41;
    public const byte SaslChallenge = 0x42;
    public const byte SaslResponse = 0x43;
    public const byte SaslOutcome = 0x44;
}

/// <summary>What became of a delivery (AMQP 1.0 part 3, 3.4). Numbers are the standard's descriptors.</summary>
public enum DeliveryState : byte
{
    /// <summary>Not said.</summary>
    None = 0,
    Received = 0x23,
    Accepted = 0x24,
    Rejected = 0x25,
    Released = 0x26,
    Modified = 0x27,
}

/// <summary>Who settles first (AMQP 1.0 part 2, 2.8.2).</summary>
public enum SenderSettleMode : byte
{
    Unsettled = 0,
    Settled = 1,
    Mixed = 2,
}

/// <summary>When the receiver settles (AMQP 1.0 part 2, 2.8.3).</summary>
public enum ReceiverSettleMode : byte
{
    First = 0,
    Second = 1,
}

/// <summary>How a SASL exchange ended (AMQP 1.0 part 5, 5.3.3.6).</summary>
public enum SaslCode : byte
{
    Ok = 0,
    Auth = 1,
    Sys = 2,
}
