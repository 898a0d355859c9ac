using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using static Sallyport.Bench.Native;

namespace Sallyport.Bench;

/// <summary>
/// "The limit": what this machine can do with MQTT over TLS and a sync before every PUBACK when there is nothing else
/// in the way. Two epoll threads on libssl, one log thread, no authentication, no routing, no state. Not a server for
/// anybody: it trusts every length it reads.
/// </summary>
internal sealed unsafe class Probe : IDisposable
{
    private const int SegmentBytes = 256 << 20;
    private readonly object _gate = new();
    private readonly ManualResetEventSlim _work = new(false, 0);
    private readonly nint _context;
    private readonly int _listener;
    private readonly Worker[] _workers;
    private readonly SafeFileHandle _file;
    private readonly string _path;
    private byte[] _filling = GC.AllocateUninitializedArray<byte>(8 << 20, pinned: true);
    private byte[] _writing = GC.AllocateUninitializedArray<byte>(8 << 20, pinned: true);
    private int _filled;
    private long _appended;
    private long _committed;
    private volatile bool _stopping;

    public Probe(int port, string certificateFile, string keyFile, string directory)
    {
        _context = SSL_CTX_new(TLS_server_method());
        if (SSL_CTX_use_certificate_chain_file(_context, certificateFile) != 1 || SSL_CTX_use_PrivateKey_file(_context, keyFile, 1) != 1)
            throw new IOException("the probe's certificate could not be loaded");

        _path = Path.Combine(directory, "probe.log");
        _file = File.OpenHandle(_path, FileMode.Create, FileAccess.ReadWrite);
        var zeroes = new byte[1 << 20];
        for (long at = 0; at < SegmentBytes; at += zeroes.Length)
            RandomAccess.Write(_file, zeroes, at);
        RandomAccess.FlushToDisk(_file);

        _listener = Listen(port);
        _workers = [new Worker(this), new Worker(this)];
        Watch(_workers[0].Epoll, _listener, EPOLLIN, -1);
        foreach (var worker in _workers)
            new Thread(worker.Run) { IsBackground = true }.Start();
        new Thread(CommitLoop) { IsBackground = true }.Start();
    }

    public void Dispose()
    {
        _stopping = true;
        _work.Set();
        _file.Dispose();
        File.Delete(_path);
    }

    private void CommitLoop()
    {
        long at = 0;
        while (!_stopping)
        {
            _work.Wait();
            _work.Reset();
            int length;
            long upTo;
            lock (_gate)
            {
                (_filling, _writing) = (_writing, _filling);
                length = _filled;
                upTo = _appended;
                _filled = 0;
            }

            if (length == 0)
                continue;

            if (at + length > SegmentBytes)
                at = 0;
            RandomAccess.Write(_file, _writing.AsSpan(0, length), at);
            RandomAccess.FlushToDisk(_file);
            at += length;
            Volatile.Write(ref _committed, upTo);
            foreach (var worker in _workers)
                worker.Signal();
        }
    }

    private sealed class Connection(TlsSocket socket)
    {
        public readonly TlsSocket Socket = socket;
        public byte[] Rest = [];
        public int RestLength;
        public (long Position, ushort Id)[] Pending = new (long, ushort)[32];
        public int First, Count;
        public bool Listed;

        public void Push(long position, ushort id)
        {
            if (Count == Pending.Length)
            {
                var larger = new (long, ushort)[Count * 2];
                for (var i = 0; i < Count; i++)
                    larger[i] = Pending[(First + i) % Count];
                (Pending, First) = (larger, 0);
            }

            Pending[(First + Count++) % Pending.Length] = (position, id);
        }
    }

    private sealed class Worker(Probe probe)
    {
        public readonly int Epoll = Check(epoll_create1(0), "epoll_create1");
        private readonly int _signal = Check(eventfd(0, 0x800), "eventfd");
        private readonly Connection?[] _connections = new Connection?[20_000];
        private int _count;
        private readonly List<Connection> _awaiting = [];
        private readonly byte* _buffer = (byte*)NativeMemory.Alloc(65536);
        private readonly byte[] _acks = new byte[4096];
        private int _signalled;
        private int _turn;

        public void Signal()
        {
            if (Interlocked.Exchange(ref _signalled, 1) == 0)
            {
                var one = 1UL;
                write(_signal, &one, 8);
            }
        }

        public void Run()
        {
            Watch(Epoll, _signal, EPOLLIN, -2);
            var events = (byte*)NativeMemory.Alloc((nuint)(EventSize * 512));
            while (!probe._stopping)
            {
                var count = epoll_wait(Epoll, events, 512, 1000);
                for (var i = 0; i < count; i++)
                {
                    switch (DataOf(events, i))
                    {
                        case -1:
                            AcceptAll();
                            break;
                        case -2:
                            ulong value;
                            read(_signal, &value, 8);
                            Volatile.Write(ref _signalled, 0);
                            SendAcks();
                            break;
                        case var index:
                            if (_connections[(int)index] is { } connection && !Serve(connection))
                            {
                                _connections[(int)index] = null;
                                Drop(connection);
                            }

                            break;
                    }
                }
            }
        }

        private void AcceptAll()
        {
            for (int descriptor; (descriptor = Accept(probe._listener)) >= 0;)
            {
                var worker = probe._workers[_turn++ % probe._workers.Length];
                var connection = new Connection(new TlsSocket(probe._context, descriptor, server: true));
                var index = worker._count++;
                Volatile.Write(ref worker._connections[index], connection);
                Watch(worker.Epoll, descriptor, EPOLLIN, index);
            }
        }

        private void Drop(Connection connection)
        {
            // What it still waits for must not be written to it: its TLS is freed.
            if (connection.Listed)
                _awaiting.Remove(connection);
            connection.Socket.Dispose();
        }

        private bool Serve(Connection connection)
        {
            if (!connection.Socket.Established && !connection.Socket.Handshake())
                return true;

            while (true)
            {
                var length = connection.Socket.Read(_buffer, 65536);
                if (length <= 0)
                    return length == 0;

                var bytes = new ReadOnlySpan<byte>(_buffer, length);
                if (connection.RestLength > 0)
                {
                    var joined = new byte[connection.RestLength + length];
                    connection.Rest.AsSpan(0, connection.RestLength).CopyTo(joined);
                    bytes.CopyTo(joined.AsSpan(connection.RestLength));
                    bytes = joined;
                    connection.RestLength = 0;
                }

                var rest = Parse(connection, bytes);
                if (!rest.IsEmpty)
                {
                    connection.Rest = rest.ToArray();
                    connection.RestLength = rest.Length;
                }
            }
        }

        private ReadOnlySpan<byte> Parse(Connection connection, ReadOnlySpan<byte> bytes)
        {
            var appended = false;
            lock (probe._gate)
            {
                while (bytes.Length >= 2)
                {
                    int remaining = 0, shift = 0, at = 1;
                    while (at < bytes.Length)
                    {
                        remaining |= (bytes[at] & 127) << shift;
                        shift += 7;
                        if ((bytes[at++] & 128) == 0)
                            break;
                    }

                    if (bytes.Length < at + remaining || (bytes[at - 1] & 128) != 0)
                        break;

                    var body = bytes.Slice(at, remaining);
                    switch (bytes[0] >> 4)
                    {
                        case 1:
                            connection.Socket.Write([0x20, 2, 0, 0]);
                            break;
                        case 3:
                            var topic = BinaryPrimitives.ReadUInt16BigEndian(body);
                            Append(body);
                            appended = true;
                            connection.Push(probe._appended, BinaryPrimitives.ReadUInt16BigEndian(body[(2 + topic)..]));
                            break;
                        case 12:
                            connection.Socket.Write([0xd0, 0]);
                            break;
                    }

                    bytes = bytes[(at + remaining)..];
                }
            }

            if (appended)
            {
                if (!connection.Listed)
                {
                    connection.Listed = true;
                    _awaiting.Add(connection);
                }

                probe._work.Set();
            }

            return bytes;
        }

        private void Append(ReadOnlySpan<byte> body)
        {
            var record = probe._filling.AsSpan(probe._filled, body.Length + 24);
            BinaryPrimitives.WriteInt32LittleEndian(record, body.Length);
            BinaryPrimitives.WriteInt64LittleEndian(record[8..], ++probe._appended);
            BinaryPrimitives.WriteInt64LittleEndian(record[16..], Environment.TickCount64);
            body.CopyTo(record[24..]);
            probe._filled += record.Length;
        }

        private void SendAcks()
        {
            var committed = Volatile.Read(ref probe._committed);
            for (var i = _awaiting.Count - 1; i >= 0; i--)
            {
                var connection = _awaiting[i];
                var length = 0;
                while (connection.Count > 0 && connection.Pending[connection.First].Position <= committed && length < _acks.Length)
                {
                    var id = connection.Pending[connection.First].Id;
                    (_acks[length], _acks[length + 1], _acks[length + 2], _acks[length + 3]) = (0x40, 2, (byte)(id >> 8), (byte)id);
                    length += 4;
                    connection.First = (connection.First + 1) % connection.Pending.Length;
                    connection.Count--;
                }

                if (length > 0)
                    connection.Socket.Write(_acks.AsSpan(0, length));
                if (connection.Count == 0)
                {
                    connection.Listed = false;
                    _awaiting[i] = _awaiting[^1];
                    _awaiting.RemoveAt(_awaiting.Count - 1);
                }
            }
        }
    }
}
