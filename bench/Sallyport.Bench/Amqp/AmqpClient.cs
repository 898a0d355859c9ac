using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;
using static Sallyport.Bench.Native;

namespace Sallyport.Bench.Amqp;

/// <summary>
/// One AMQP connection over TLS, or plain, without an AMQP library: frames are taken by their size where they lie, nothing is allocated
/// per frame. Owned by one thread.
/// </summary>
internal sealed unsafe class AmqpClient : IDisposable
{
    private const int BufferBytes = 256 * 1024;

    private static readonly nint Context = StreamingContext();

    private readonly TlsSocket? _tls;
    private readonly byte* _buffer;
    private int _begin;
    private int _end;

    /// <param name="index">Chooses the source address.</param>
    /// <param name="first">What is said first, the headers included.</param>
    public AmqpClient(int port, int index, bool isTls, params byte[][] first)
    {
        Descriptor = Connect(port, index);
        _buffer = (byte*)NativeMemory.Alloc(BufferBytes);
        if (isTls)
        {
            _tls = new TlsSocket(Context, Descriptor, server: false);
            while (!_tls.Handshake())
            {
            }
        }

        Send([.. first.SelectMany(bytes => bytes)]);
    }

    public int Descriptor { get; }

    /// <summary>A service or a device, by SASL PLAIN with a token; everything that needs no answer is said at once.</summary>
    public static AmqpClient LogIn(Server hub, int index, string user, string token) => new(
        hub.AmqpsPort, index, isTls: true,
        AmqpFrames.SaslHeader, AmqpFrames.SaslPlain(user, token), AmqpFrames.Header, AmqpFrames.OpenTo(hub.HostName), AmqpFrames.BeginSession());

    public static AmqpClient LogInDevice(Server hub, int index)
    {
        var id = Generator.DeviceId(index);
        return LogIn(hub, index, $"{id}@sas.{hub.HostName.Split('.')[0]}", hub.Token!(id));
    }

    public static AmqpClient LogInOwner(Server hub, int index) => LogIn(hub, index, hub.OwnerName!, hub.OwnerToken!);

    public void Send(ReadOnlySpan<byte> bytes)
    {
        if (_tls is not null)
        {
            if (!_tls.Write(bytes))
                throw new IOException("the hub closed a connection");
            return;
        }

        fixed (byte* p = bytes)
        {
            if (write(Descriptor, p, bytes.Length) != bytes.Length)
                throw new IOException("the hub closed a connection, or does not read it");
        }
    }

    /// <summary>Sends what an earlier <see cref="Send"/> could not.</summary>
    public void Flush()
    {
        if (_tls is not null && !_tls.Flush())
            throw new IOException("the hub closed a connection");
    }

    /// <summary>Reads what has arrived; false when nothing has (on a non-blocking socket).</summary>
    public bool Receive()
    {
        if (_begin > 0)
        {
            Buffer.MemoryCopy(_buffer + _begin, _buffer, BufferBytes, _end - _begin);
            (_begin, _end) = (0, _end - _begin);
        }

        var read = _tls is null ? (int)Native.read(Descriptor, _buffer + _end, BufferBytes - _end) : _tls.Read(_buffer + _end, BufferBytes - _end);
        if (read < 0 || (read == 0 && _tls is null))
            throw new IOException("the hub closed a connection");

        _end += read;
        return read > 0;
    }

    /// <summary>The next frame of what has been read, or a header of eight bytes; lives until the next <see cref="Receive"/>.</summary>
    public bool TryTake(out ReadOnlySpan<byte> frame)
    {
        frame = default;
        var arrived = new ReadOnlySpan<byte>(_buffer + _begin, _end - _begin);
        if (arrived.Length < 8)
            return false;

        var size = arrived.StartsWith("AMQP"u8) ? 8 : BinaryPrimitives.ReadInt32BigEndian(arrived);
        if (size > arrived.Length)
            return false;

        frame = arrived[..size];
        _begin += size;
        return true;
    }

    /// <summary>Waits for a frame with this performative, passing others by. Only on a blocking socket.</summary>
    /// <exception cref="IOException">The hub refused: with what it said.</exception>
    public ReadOnlySpan<byte> Await(byte code)
    {
        while (true)
        {
            while (TryTake(out var frame))
            {
                var came = AmqpFrames.CodeOf(frame);
                if (came == code)
                    return frame;

                ThrowIfEnded(frame, came);
            }

            Receive();
        }
    }

    /// <exception cref="IOException">The frame ends a link, the session or the connection: with what it says.</exception>
    public static void ThrowIfEnded(ReadOnlySpan<byte> frame, byte code)
    {
        if (code is AmqpFrames.Detach or AmqpFrames.End or AmqpFrames.Close)
            throw new IOException($"the hub ended it: {Encoding.Latin1.GetString(frame)}");
    }

    /// <summary>Waits until a link is attached.</summary>
    public void AwaitAttach()
    {
        var fields = AmqpFrames.FieldsOf(Await(AmqpFrames.Attach), out _);
        for (var i = 0; i < 5; i++)
            fields.TryRead(out _);
        fields.TryRead(out var source);
        fields.TryRead(out var target);
        if (source.Type == Protocol.Amqp.AmqpType.Null && target.Type == Protocol.Amqp.AmqpType.Null)
            Await(0); // A refusal: the detach that follows says why.
    }

    public void Dispose()
    {
        if (_tls is not null)
            _tls.Dispose();
        else
            close(Descriptor);
        NativeMemory.Free(_buffer);
    }
}
