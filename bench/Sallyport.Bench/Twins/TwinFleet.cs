using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using static Sallyport.Bench.Native;

namespace Sallyport.Bench.Twins;

/// <summary>What a device of the fleet does with its twin.</summary>
internal enum TwinWork
{
    Get,
    Report,

    /// <summary>One after the other.</summary>
    Mixed,
}

/// <summary>
/// MQTT devices over TLS with one epoll thread: they ask for their twins and report, one request of each in flight, and answer methods.
/// Owned by one thread at a time.
/// </summary>
internal sealed unsafe class TwinFleet : IDisposable
{
    private const int BufferBytes = 65536;
    private const int MaxMeasured = 4_000_000;
    private const long TimerEvent = -1;

    private readonly Device[] _devices;
    private readonly int _epoll = Check(epoll_create1(0), "epoll_create1");
    private readonly byte* _buffer = (byte*)NativeMemory.Alloc(BufferBytes);
    private readonly int[] _latencies = new int[MaxMeasured];
    private int _measured;
    private long _answered, _methods;
    private bool _isMeasuring, _refills;
    private TwinWork _work;

    public TwinFleet(Server hub, IReadOnlyList<int> devices)
    {
        var context = SSL_CTX_new(TLS_client_method());
        _devices = new Device[devices.Count];
        for (var i = 0; i < devices.Count; i++)
        {
            var id = Generator.DeviceId(devices[i]);
            var device = _devices[i] = new Device(new TlsSocket(context, Connect(hub.Port, i), server: false), devices[i]);
            while (!device.Socket.Handshake())
            {
            }

            device.Socket.Write(Generator.ConnectPacket(id, hub.HostName, hub.Token!(id)));
            Expect(device, 4, id);
            device.Socket.Write(Subscribe("$iothub/twin/res/#", "$iothub/methods/POST/#"));
            Expect(device, 6, id);
            NonBlocking(device.Socket.Descriptor);
            Watch(_epoll, device.Socket.Descriptor, EPOLLIN, i);
        }
    }

    /// <summary>Requests that were due and not sent because the device still waited for an answer.</summary>
    public long Unsent { get; private set; }

    /// <summary>Methods that were answered since it was made.</summary>
    public long Methods => Volatile.Read(ref _methods);

    /// <summary>Closed loop: each device asks again as soon as it is answered.</summary>
    public void Begin(TwinWork work)
    {
        (_work, _refills) = (work, true);
        foreach (var device in _devices)
            Send(device, Stopwatch.GetTimestamp());
    }

    public Load Continue(TimeSpan duration)
    {
        var cpu = Start();
        Pump(duration);
        return Finish(duration, cpu);
    }

    /// <summary>Waits for what is not answered yet.</summary>
    public void Drain()
    {
        _refills = false;
        while (_devices.Any(device => device.IsWaiting))
            Turn(100);
    }

    /// <summary>Open loop: requests leave at a fixed rate, of one device after the other; latency counts from the intended time.</summary>
    /// <param name="perSecond">0: only methods are answered.</param>
    public Load Steady(TwinWork work, int perSecond, CancellationToken enough)
    {
        _work = work;
        var cpu = Start();
        var start = Stopwatch.GetTimestamp();
        var timer = Timer(1_000_000_000L / Math.Max(perSecond, 100));
        Watch(_epoll, timer, EPOLLIN, TimerEvent);
        long sent = 0;
        for (var turn = 0; !enough.IsCancellationRequested;)
        {
            for (var due = (long)(Stopwatch.GetElapsedTime(start).TotalSeconds * perSecond); sent < due; sent++)
            {
                var device = _devices[turn++ % _devices.Length];
                if (device.IsWaiting)
                    Unsent++;
                else
                    Send(device, start + (long)((sent + 1) * (Stopwatch.Frequency / (double)perSecond)));
            }

            Turn(100, timer);
        }

        close(timer);
        return Finish(Stopwatch.GetElapsedTime(start), cpu);
    }

    public void Dispose()
    {
        foreach (var device in _devices)
            device.Socket.Dispose();
        close(_epoll);
        NativeMemory.Free(_buffer);
    }

    private double Start()
    {
        (_measured, _answered, _isMeasuring) = (0, 0, true);
        return ThreadCpuSeconds();
    }

    private Load Finish(TimeSpan took, double cpu)
    {
        _isMeasuring = false;
        var latencies = _latencies.AsSpan(0, _measured).ToArray();
        Array.Sort(latencies);
        return new Load(_answered, took.TotalSeconds, latencies, [], ThreadCpuSeconds() - cpu);
    }

    private void Pump(TimeSpan duration)
    {
        var start = Stopwatch.GetTimestamp();
        while (Stopwatch.GetElapsedTime(start) < duration)
            Turn(100);
    }

    private void Turn(int timeoutMs, int timer = -1)
    {
        var events = stackalloc byte[EventSize * 256];
        var count = epoll_wait(_epoll, events, 256, timeoutMs);
        for (var i = 0; i < count; i++)
        {
            if (DataOf(events, i) == TimerEvent)
            {
                read(timer, _buffer, 8);
                continue;
            }

            var device = _devices[(int)DataOf(events, i)];
            device.Socket.Flush();
            int length;
            while ((length = device.Socket.Read(_buffer, BufferBytes)) > 0)
                device.Take(new ReadOnlySpan<byte>(_buffer, length), this);
            if (length < 0)
                throw new IOException("the hub closed a connection under load");
        }
    }

    private void Answered(Device device, ReadOnlySpan<byte> topic)
    {
        if (topic.StartsWith("$iothub/methods/POST/"u8))
        {
            var id = topic[topic.IndexOf("?$rid="u8)..];
            device.Socket.Write(Publish([.. "$iothub/methods/res/200/"u8, .. id], "{\"done\":true}"u8));
            Volatile.Write(ref _methods, _methods + 1);
            return;
        }

        if (!topic.StartsWith("$iothub/twin/res/20"u8))
            throw new IOException($"the hub answered {Encoding.UTF8.GetString(topic)}");

        device.IsWaiting = false;
        if (_isMeasuring)
        {
            _answered++;
            if (_measured < MaxMeasured)
                _latencies[_measured++] = (int)((Stopwatch.GetTimestamp() - device.DueAt) * 1_000_000 / Stopwatch.Frequency);
        }

        if (_refills)
            Send(device, Stopwatch.GetTimestamp());
    }

    private void Send(Device device, long dueAt)
    {
        device.DueAt = dueAt;
        device.IsWaiting = true;
        var number = ++device.Requests;
        var isGet = _work is TwinWork.Get || (_work is TwinWork.Mixed && number % 2 == 0);
        if (isGet)
        {
            device.Socket.Write(GetPacket);
            return;
        }

        // Two of the indexed values, and one that is not; the values stay as often as they were.
        var value = (device.Index + number) % TwinStore.Values;
        device.Socket.Write(Publish("$iothub/twin/PATCH/properties/reported/?$rid=1"u8, Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture,
            $$"""{"r01":{{value}},"r05":{{value}},"r20":{{number}}}"""))));
    }

    private static readonly byte[] GetPacket = Publish("$iothub/twin/GET/?$rid=1"u8, default);

    private static byte[] Publish(ReadOnlySpan<byte> topic, ReadOnlySpan<byte> payload)
    {
        var length = 2 + topic.Length + payload.Length;
        return [0x30, .. length < 128 ? [(byte)length] : (ReadOnlySpan<byte>)[(byte)(128 | (length & 127)), (byte)(length >> 7)], (byte)(topic.Length >> 8), (byte)topic.Length, .. topic, .. payload];
    }

    private static byte[] Subscribe(params string[] filters)
    {
        List<byte> body = [0, 1];
        foreach (var filter in filters)
            body.AddRange([0, (byte)filter.Length, .. Encoding.UTF8.GetBytes(filter), 0]);
        return [0x82, (byte)body.Count, .. body];
    }

    private void Expect(Device device, int bytes, string id)
    {
        int read, got = 0;
        while (got < bytes && (read = device.Socket.Read(_buffer + got, bytes - got)) >= 0)
            got += read;
        if (got < bytes || _buffer[bytes - 1] >= 0x80 || (bytes == 4 && _buffer[3] != 0))
            throw new IOException($"{id} was not let in, or not subscribed");
    }

    private sealed class Device(TlsSocket socket, int index)
    {
        private byte[] _partial = new byte[4096];
        private int _length;

        public readonly TlsSocket Socket = socket;
        public readonly int Index = index;
        public long DueAt;
        public bool IsWaiting;
        public int Requests;

        public void Take(ReadOnlySpan<byte> bytes, TwinFleet fleet)
        {
            if (_partial.Length < _length + bytes.Length)
                Array.Resize(ref _partial, (_length + bytes.Length) * 2);
            bytes.CopyTo(_partial.AsSpan(_length));
            _length += bytes.Length;
            var at = 0;
            while (TryFrame(_partial.AsSpan(at, _length - at), out var body, out var taken))
            {
                if (_partial[at] >> 4 == 3)
                    fleet.Answered(this, body.Slice(2, (body[0] << 8) | body[1]));
                at += taken;
            }

            _partial.AsSpan(at, _length - at).CopyTo(_partial);
            _length -= at;
        }

        private static bool TryFrame(ReadOnlySpan<byte> bytes, out ReadOnlySpan<byte> body, out int taken)
        {
            body = default;
            taken = 0;
            var length = 0;
            for (var i = 1; i < bytes.Length && i <= 4; i++)
            {
                length |= (bytes[i] & 127) << (7 * (i - 1));
                if (bytes[i] >= 128)
                    continue;

                taken = i + 1 + length;
                if (bytes.Length < taken)
                    return false;

                body = bytes.Slice(i + 1, length);
                return true;
            }

            return false;
        }
    }
}
