using System.Buffers.Binary;
using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text;
using static Sallyport.Bench.Native;

namespace Sallyport.Bench;

/// <summary>What one run of the generator saw.</summary>
/// <param name="Messages">Acknowledged in the measuring window.</param>
/// <param name="LatenciesMicroseconds">Sorted; from the intended send time in open loop, from the write in closed loop.</param>
/// <param name="LatenessMicroseconds">Sorted; of what was acknowledged in open loop, how much of its latency had passed before it was sent: the generator's own part.</param>
/// <param name="GeneratorCpuSeconds">Of the thread that sends.</param>
internal sealed record Load(long Messages, double Seconds, int[] LatenciesMicroseconds, int[] LatenessMicroseconds, double GeneratorCpuSeconds)
{
    public double MessagesPerSecond => Messages / Seconds;

    public int Percentile(double p) => Percentile(LatenciesMicroseconds, p);

    public int Lateness(double p) => Percentile(LatenessMicroseconds, p);

    private static int Percentile(int[] sorted, double p) => sorted.Length == 0 ? 0 : sorted[(int)Math.Min(sorted.Length - 1, p * sorted.Length)];
}

/// <summary>
/// Publishes QoS 1 telemetry over TLS from many connections with one epoll thread. Packets are encoded once and only
/// the packet id is patched; nothing is allocated per message.
/// </summary>
internal sealed unsafe class Generator : IDisposable
{
    private const long TimerEvent = -1;

    private readonly Device[] _devices;
    private readonly int _epoll = Check(epoll_create1(0), "epoll_create1");
    private readonly byte* _buffer = (byte*)NativeMemory.Alloc(65536);
    private readonly byte[] _out = new byte[65536];
    private readonly int[] _latencies = new int[20_000_000];
    private readonly int[] _lateness = new int[20_000_000];
    private int _measured;
    private long _acknowledged;
    private bool _measuring;
    private int _timer;

    /// <param name="token">The password of a device; null sends none (the probe asks for none).</param>
    public Generator(int port, int connections, int window, int payloadBytes, string hostName, Func<string, string>? token)
    {
        var context = SSL_CTX_new(TLS_client_method());
        _devices = new Device[connections];
        for (var i = 0; i < connections; i++)
        {
            var id = DeviceId(i);
            var device = new Device(new TlsSocket(context, Connect(port, i), server: false), Publish(id, payloadBytes), window);
            while (!device.Socket.Handshake())
            {
            }

            device.Socket.Write(ConnectPacket(id, hostName, token?.Invoke(id)));
            int read, got = 0;
            while (got < 4 && (read = device.Socket.Read(_buffer + got, 4 - got)) >= 0)
                got += read;
            if (got < 4 || _buffer[3] != 0)
                throw new IOException($"{id} was not let in: {(got < 4 ? "the connection was closed" : $"CONNACK {_buffer[3]}")}");

            NonBlocking(device.Socket.Descriptor);
            Watch(_epoll, device.Socket.Descriptor, EPOLLIN, i);
            _devices[i] = device;
        }
    }

    /// <summary>Messages that were due and not sent, because their connection had a whole window unacknowledged.</summary>
    public long Unsent { get; private set; }

    /// <summary>Messages that were sent and not acknowledged yet.</summary>
    public long Unacknowledged => _devices.Sum(device => (long)device.InFlight);

    /// <summary>Waits for what is not acknowledged yet.</summary>
    public void Drain(TimeSpan longest)
    {
        var start = Stopwatch.GetTimestamp();
        while (Unacknowledged > 0 && Stopwatch.GetElapsedTime(start) < longest)
            Turn(timeoutMs: 100, refill: false);
    }

    public static string DeviceId(int index) => $"bench-{index}";

    /// <summary>Closed loop: every connection keeps its window full.</summary>
    public Load Saturate(TimeSpan warmUp, TimeSpan duration)
    {
        foreach (var device in _devices)
            Send(device, device.Window, Stopwatch.GetTimestamp());
        Pump(warmUp, refill: true);
        return Continue(duration);
    }

    /// <summary>Goes on with windows that <see cref="Saturate"/> filled.</summary>
    public Load Continue(TimeSpan duration) => Measure(() => Pump(duration, refill: true));

    /// <summary>Open loop: messages leave at a fixed rate, taken round robin; latency counts from the intended time.</summary>
    /// <param name="enough">Ends it before its time.</param>
    public Load Steady(int perSecond, TimeSpan warmUp, TimeSpan duration, CancellationToken enough = default)
    {
        Paced(perSecond, warmUp, enough);
        return Measure(() => Paced(perSecond, duration, enough));
    }

    public void Dispose()
    {
        foreach (var device in _devices)
            device.Socket.Dispose();
        close(_epoll);
    }

    private Load Measure(Action run)
    {
        (_measured, _acknowledged, _measuring) = (0, 0, true);
        var cpu = ThreadCpuSeconds();
        var clock = Stopwatch.StartNew();
        run();
        var seconds = clock.Elapsed.TotalSeconds;
        _measuring = false;
        cpu = ThreadCpuSeconds() - cpu;
        return new Load(_acknowledged, seconds, Sorted(_latencies), Sorted(_lateness), cpu);

        int[] Sorted(int[] values)
        {
            var taken = values.AsSpan(0, _measured).ToArray();
            Array.Sort(taken);
            return taken;
        }
    }

    private void Paced(int perSecond, TimeSpan duration, CancellationToken enough)
    {
        // The kernel's clock wakes the loop for each message: epoll's own time-out counts whole milliseconds.
        // It starts after our own, so that what is due at a tick is due when the tick comes.
        var start = Stopwatch.GetTimestamp();
        _timer = Timer(1_000_000_000L / perSecond);
        Watch(_epoll, _timer, EPOLLIN, TimerEvent);
        var ticksPerMessage = Stopwatch.Frequency / (double)perSecond;
        long sent = 0;
        var turn = 0;
        while (Stopwatch.GetElapsedTime(start) is var elapsed && elapsed < duration && !enough.IsCancellationRequested)
        {
            var due = (long)(elapsed.TotalSeconds * perSecond);
            while (sent < due)
            {
                var device = _devices[turn++ % _devices.Length];
                if (device.InFlight < device.Window)
                    Send(device, 1, start + (long)((sent + 1) * ticksPerMessage));
                else
                    Unsent++;
                sent++;
            }

            Turn(timeoutMs: 100, refill: false);
        }

        close(_timer);
    }

    private void Pump(TimeSpan duration, bool refill)
    {
        var start = Stopwatch.GetTimestamp();
        while (Stopwatch.GetElapsedTime(start) < duration)
            Turn(timeoutMs: 100, refill);
    }

    private void Turn(int timeoutMs, bool refill)
    {
        var events = stackalloc byte[EventSize * 256];
        var count = epoll_wait(_epoll, events, 256, timeoutMs);
        for (var i = 0; i < count; i++)
        {
            if (DataOf(events, i) == TimerEvent)
            {
                read(_timer, _buffer, 8);
                continue;
            }

            var device = _devices[(int)DataOf(events, i)];
            device.Socket.Flush();
            var freed = 0;
            int length;
            while ((length = device.Socket.Read(_buffer, 65536)) > 0)
                freed += Acknowledge(device, new ReadOnlySpan<byte>(_buffer, length));
            if (length < 0)
                throw new IOException("the server closed a connection under load");

            if (refill && freed > 0)
                Send(device, freed, Stopwatch.GetTimestamp());
        }
    }

    private int Acknowledge(Device device, ReadOnlySpan<byte> bytes)
    {
        var now = Stopwatch.GetTimestamp();
        var freed = 0;
        foreach (var b in bytes)
        {
            device.Partial[device.PartialLength++] = b;
            if (device.PartialLength < 4)
                continue;

            device.PartialLength = 0;
            if (device.Partial[0] != 0x40)
                throw new IOException($"expected a PUBACK, got packet type {device.Partial[0] >> 4}");

            var id = BinaryPrimitives.ReadUInt16BigEndian(device.Partial.AsSpan(2));
            device.InFlight--;
            freed++;
            if (!_measuring)
                continue;

            _acknowledged++;
            if (_measured < _latencies.Length)
            {
                _latencies[_measured] = (int)((now - device.DueAt[id % device.Window]) * 1_000_000 / Stopwatch.Frequency);
                _lateness[_measured] = device.LateMicroseconds[id % device.Window];
                _measured++;
            }
        }

        return freed;
    }

    private void Send(Device device, int count, long dueAt)
    {
        var late = (int)((Stopwatch.GetTimestamp() - dueAt) * 1_000_000 / Stopwatch.Frequency);
        var length = 0;
        for (var i = 0; i < count; i++)
        {
            if (length + device.Packet.Length > _out.Length)
            {
                device.Socket.Write(_out.AsSpan(0, length));
                length = 0;
            }

            // Ids run from the window's size on, so that id % window is a slot of its own for each message in flight.
            var id = (ushort)(device.Window + (device.Next++ % (60000 / device.Window * device.Window)));
            (device.DueAt[id % device.Window], device.LateMicroseconds[id % device.Window]) = (dueAt, late);
            BinaryPrimitives.WriteUInt16BigEndian(device.Packet.AsSpan(device.Packet.Length - device.PayloadBytes - 2), id);
            device.Packet.CopyTo(_out.AsSpan(length));
            length += device.Packet.Length;
            device.InFlight++;
        }

        device.Socket.Write(_out.AsSpan(0, length));
    }

    private static (byte[] Packet, int PayloadBytes) Publish(string deviceId, int payloadBytes)
    {
        var topic = Encoding.UTF8.GetBytes($"devices/{deviceId}/messages/events/");
        var body = new byte[2 + topic.Length + 2 + payloadBytes];
        BinaryPrimitives.WriteUInt16BigEndian(body, (ushort)topic.Length);
        topic.CopyTo(body.AsSpan(2));
        body.AsSpan(body.Length - payloadBytes).Fill((byte)'x');
        return ([0x32, .. Length(body.Length), .. body], payloadBytes);
    }

    public static byte[] ConnectPacket(string deviceId, string hostName, string? token)
    {
        List<byte> body = [0, 4, .. "MQTT"u8, 4, (byte)(token is null ? 0x82 : 0xc2), 0, 0];
        Text(deviceId);
        Text($"{hostName}/{deviceId}/?api-version=2021-04-12");
        if (token is not null)
            Text(token);
        return [0x10, .. Length(body.Count), .. body];

        void Text(string text) => body.AddRange([(byte)(text.Length >> 8), (byte)text.Length, .. Encoding.UTF8.GetBytes(text)]);
    }

    private static byte[] Length(int value)
    {
        List<byte> bytes = [];
        do
        {
            bytes.Add((byte)((value & 127) | (value > 127 ? 128 : 0)));
            value >>= 7;
        }
        while (value > 0);

        return [.. bytes];
    }

    private sealed class Device(TlsSocket socket, (byte[] Packet, int PayloadBytes) publish, int window)
    {
        public readonly TlsSocket Socket = socket;
        public readonly byte[] Packet = publish.Packet;
        public readonly int PayloadBytes = publish.PayloadBytes;
        public readonly int Window = window;
        public readonly long[] DueAt = new long[window];
        public readonly int[] LateMicroseconds = new int[window];
        public readonly byte[] Partial = new byte[4];
        public int PartialLength;
        public int InFlight;
        public int Next;
    }
}
