using System.Buffers.Binary;
using System.Diagnostics;
using static Sallyport.Bench.Native;

namespace Sallyport.Bench.Amqp;

/// <summary>
/// Who sends over a TLS connection each, as much as the hub gives credit for: devices telemetry, services commands; one epoll thread. A message
/// counts when a disposition has settled it: it is on disk then.
/// </summary>
internal sealed unsafe class AmqpSenders : IDisposable
{
    private readonly Sender[] _senders;
    private readonly int _epoll = Check(epoll_create1(0), "epoll_create1");
    private readonly byte[] _out = new byte[64 * 1024];
    private long _toSend;

    /// <summary>Telemetry.</summary>
    public AmqpSenders(Server hub, int connections, int payloadBytes)
        : this(
            connections, i => AmqpClient.LogInDevice(hub, i), i => $"devices/{Generator.DeviceId(i)}/messages/events",
            [AmqpFrames.Telemetry(0, payloadBytes)])
    {
    }

    /// <param name="logIn">Of each connection.</param>
    /// <param name="target">Where each sends.</param>
    /// <param name="frames">What all of them send, one after the other and again, each from another one on; as long as one another or not.</param>
    public AmqpSenders(int connections, Func<int, AmqpClient> logIn, Func<int, string> target, byte[][] frames)
    {
        _senders = new Sender[connections];
        for (var i = 0; i < connections; i++)
        {
            var client = logIn(i);
            client.Send(AmqpFrames.AttachSender(0, target(i)));
            client.Await(AmqpFrames.Begin);
            client.AwaitAttach();
            var sender = _senders[i] = new Sender(client, frames, i * frames.Length / connections);
            sender.OnFlow(client.Await(AmqpFrames.Flow));
            NonBlocking(client.Descriptor);
            Watch(_epoll, client.Descriptor, EPOLLIN, i);
        }
    }

    /// <summary>Messages that the hub accepted.</summary>
    public long Settled { get; private set; }

    public long Dispositions { get; private set; }

    /// <summary>The most that the hub let one connection have on its way.</summary>
    public uint LargestCredit => _senders.Max(sender => sender.LargestCredit);

    /// <summary>Sends as fast as there is credit.</summary>
    public void Run(TimeSpan duration)
    {
        _toSend = long.MaxValue;
        var start = Stopwatch.GetTimestamp();
        foreach (var sender in _senders)
            Send(sender);
        while (Stopwatch.GetElapsedTime(start) < duration)
            Turn();
    }

    /// <summary>Sends so many, and waits until they are settled.</summary>
    public void Fill(int messages)
    {
        _toSend = messages;
        foreach (var sender in _senders)
            Send(sender);
        while (Settled < messages)
            Turn();
    }

    public void Dispose()
    {
        foreach (var sender in _senders)
            sender.Client.Dispose();
        close(_epoll);
    }

    private void Turn()
    {
        var events = stackalloc byte[EventSize * 64];
        var count = epoll_wait(_epoll, events, 64, 100);
        for (var i = 0; i < count; i++)
        {
            var sender = _senders[(int)DataOf(events, i)];
            sender.Client.Flush();
            while (sender.Client.Receive())
            {
                while (sender.Client.TryTake(out var frame))
                    Take(sender, frame);
            }

            Send(sender);
        }
    }

    private void Take(Sender sender, ReadOnlySpan<byte> frame)
    {
        switch (AmqpFrames.CodeOf(frame))
        {
            case AmqpFrames.Disposition:
                var fields = AmqpFrames.FieldsOf(frame, out _);
                fields.TryRead(out _);
                fields.TryRead(out var first);
                fields.TryRead(out var last);
                fields.TryRead(out _);
                fields.TryRead(out var state);
                var parts = state.Elements();
                parts.TryRead(out var outcome);
                if (outcome.Unsigned != 0x24)
                    throw new IOException($"a message was not accepted: outcome 0x{outcome.Unsigned:x}");

                Settled += (uint)last.Unsigned - (uint)first.Unsigned + 1;
                Dispositions++;
                break;
            case AmqpFrames.Flow:
                sender.OnFlow(frame);
                break;
            case var code:
                AmqpClient.ThrowIfEnded(frame, code);
                break;
        }
    }

    private void Send(Sender sender)
    {
        var length = 0;
        for (var left = Math.Min(sender.Allowed, _toSend); left > 0; left--)
        {
            _toSend--;
            if (length + sender.NextLength > _out.Length)
            {
                sender.Client.Send(_out.AsSpan(0, length));
                length = 0;
            }

            length += sender.Next(_out.AsSpan(length));
        }

        if (length > 0)
            sender.Client.Send(_out.AsSpan(0, length));
    }

    private sealed class Sender(AmqpClient client, byte[][] frames, int first)
    {
        private int _next = first;
        private uint _sent;
        private uint _sendableByCredit;
        private uint _sendableByWindow;

        public AmqpClient Client => client;

        public int NextLength => frames[_next].Length;

        public uint LargestCredit { get; private set; }

        /// <summary>How many messages may leave now.</summary>
        public int Allowed => Math.Min((int)(_sendableByCredit - _sent), (int)(_sendableByWindow - _sent));

        public void OnFlow(ReadOnlySpan<byte> flow)
        {
            var fields = AmqpFrames.FieldsOf(flow, out _);
            var values = stackalloc uint[7];
            var given = 0;
            for (var i = 0; i < 7 && fields.TryRead(out var value); i++)
            {
                values[i] = (uint)value.Unsigned;
                given = value.Type == Protocol.Amqp.AmqpType.Null ? given : i + 1;
            }

            // [AMQP-2.5.6] [AMQP-2.6.7] Both begin at 0 and count a message once: it is one frame.
            _sendableByWindow = values[0] + values[1];
            if (given < 7)
                return;

            _sendableByCredit = values[5] + values[6];
            LargestCredit = Math.Max(LargestCredit, values[6]);
        }

        public int Next(Span<byte> target)
        {
            var frame = frames[_next];
            BinaryPrimitives.WriteUInt32BigEndian(frame.AsSpan(AmqpFrames.DeliveryIdAt), _sent);
            BinaryPrimitives.WriteUInt32BigEndian(frame.AsSpan(AmqpFrames.DeliveryTagAt), _sent);
            frame.CopyTo(target);
            _sent++;
            _next = (_next + 1) % frames.Length;
            return frame.Length;
        }
    }
}
