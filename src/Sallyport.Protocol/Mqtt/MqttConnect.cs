using System.Buffers;
using Sallyport.Protocol.Errors;

namespace Sallyport.Protocol.Mqtt;

/// <summary>What a client asked to be published when its connection ends without DISCONNECT.</summary>
/// <param name="Topic">Where to, as sent.</param>
/// <param name="QoS">0 to 2.</param>
public sealed record MqttWill(string Topic, byte[] Payload, byte QoS, bool Retain);

/// <summary>A CONNECT packet, MQTT 3.1.1 section 3.1. Holds the password: never printed.</summary>
/// <param name="KeepAliveSeconds">0 switches the client's keep-alive off.</param>
/// <param name="UserName">Null when absent.</param>
/// <param name="Password">Null when absent; for IoT Hub the token.</param>
public sealed record MqttConnect(
    string ClientId, bool CleanSession, ushort KeepAliveSeconds, string? UserName = null, string? Password = null, MqttWill? Will = null)
{
    internal const byte CleanSessionFlag = 0x02;
    internal const byte WillFlag = 0x04;
    internal const byte WillRetainFlag = 0x20;
    internal const byte PasswordFlag = 0x40;
    internal const byte UserNameFlag = 0x80;
    internal const byte Level = 4;

    /// <summary>Names the client, never its password.</summary>
    public override string ToString() => $"CONNECT {ClientId}";

    /// <exception cref="MqttProtocolException">The packet does not follow the specification.</exception>
    public static MqttConnect Read(in MqttFrame frame)
    {
        if (frame.Flags != 0) // [MQTT-2.2.2-2]
            throw new MqttProtocolException("reserved flags of CONNECT are set"); // [MQTT-3.1.4-1]

        var fields = new MqttFields(frame.Body);
        if (fields.Text("protocol name") != "MQTT") // [MQTT-3.1.2-1]
            throw new MqttProtocolException("the protocol name is not MQTT");

        var level = fields.Byte("protocol level");
        if (level != Level) // [MQTT-3.1.2-2]
            throw new MqttProtocolException(HubErrors.FormatError, $"protocol level {level} is not served, only 4 (MQTT 3.1.1)", MqttConnectCode.UnacceptableProtocolVersion);

        var flags = fields.Byte("connect flags");
        if ((flags & 1) != 0) // [MQTT-3.1.2-3]
            throw new MqttProtocolException("the reserved connect flag is set");

        var hasWill = (flags & WillFlag) != 0;
        var willQoS = (byte)((flags >> 3) & 3);
        var willRetain = (flags & WillRetainFlag) != 0;
        if (!hasWill && (willQoS != 0 || willRetain)) // [MQTT-3.1.2-11] [MQTT-3.1.2-13] [MQTT-3.1.2-15]
            throw new MqttProtocolException("will QoS or will retain is set without a will");
        if (willQoS == 3) // [MQTT-3.1.2-14]
            throw new MqttProtocolException("will QoS is 3");

        var hasUserName = (flags & UserNameFlag) != 0;
        var hasPassword = (flags & PasswordFlag) != 0;
        if (!hasUserName && hasPassword) // [MQTT-3.1.2-22]
            throw new MqttProtocolException("a password is announced without a user name");

        var keepAlive = fields.UInt16("keep alive");

        // The order of the payload is fixed. [MQTT-3.1.3-1]
        var clientId = fields.Text("client id"); // [MQTT-3.1.3-3] [MQTT-3.1.3-4]
        MqttWill? will = null;
        if (hasWill) // [MQTT-3.1.2-9]
        {
            var topic = fields.Text("will topic"); // [MQTT-3.1.3-10]
            will = new MqttWill(topic, fields.Bytes("will message").ToArray(), willQoS, willRetain);
        }

        var userName = hasUserName ? fields.Text("user name") : null; // [MQTT-3.1.2-18] [MQTT-3.1.2-19] [MQTT-3.1.3-11]
        var password = hasPassword ? PasswordText(fields.Bytes("password")) : null; // [MQTT-3.1.2-20] [MQTT-3.1.2-21]
        if (!fields.IsAtEnd)
            throw new MqttProtocolException("CONNECT has bytes behind its last field");

        return new MqttConnect(clientId, (flags & CleanSessionFlag) != 0, keepAlive, userName, password, will);
    }

    // A password is binary in MQTT; every token is ASCII, so what is not becomes a password that no token equals.
    private static string PasswordText(in ReadOnlySequence<byte> bytes) => System.Text.Encoding.Latin1.GetString(bytes.ToArray());
}
