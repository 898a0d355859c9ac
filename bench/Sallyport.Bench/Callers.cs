using System.Runtime.InteropServices;
using static Sallyport.Bench.Native;

namespace Sallyport.Bench;

/// <summary>
/// Opens MQTT connections over TLS, many at a time, with one epoll thread: what a storm of reconnects and a flood of bad logins are made of.
/// </summary>
/// <param name="connect">The CONNECT packet of a caller.</param>
/// <param name="keepOpen">Who is let in stays; else every caller calls again as soon as it has an answer.</param>
internal sealed unsafe class Callers(int port, int count, Func<int, int> address, Func<int, byte[]> connect, bool keepOpen) : IDisposable
{
    private const int Error = 8, HangUp = 16;

    private readonly int _epoll = Check(epoll_create1(0), "epoll_create1");
    private readonly nint _context = SSL_CTX_new(TLS_client_method());
    private readonly byte* _buffer = (byte*)NativeMemory.Alloc(4096);
    private readonly Caller[] _callers = new Caller[count];

    public long LetIn { get; private set; }

    /// <summary>Answered that they may not come in.</summary>
    public long Refused { get; private set; }

    /// <summary>Closed without an answer.</summary>
    public long Closed { get; private set; }

    public void CallAll()
    {
        for (var i = 0; i < count; i++)
            Call(i);
    }

    public void Turn(int timeoutMs)
    {
        var events = stackalloc byte[EventSize * 256];
        var ready = epoll_wait(_epoll, events, 256, timeoutMs);
        for (var i = 0; i < ready; i++)
            Answered((int)DataOf(events, i), *(int*)(events + (i * EventSize)));
    }

    /// <summary>Hangs up, all of them.</summary>
    public void HangUpAll()
    {
        for (var i = 0; i < count; i++)
            _callers[i]?.Close();
        LetIn = 0;
    }

    public void Dispose()
    {
        HangUpAll();
        close(_epoll);
        NativeMemory.Free(_buffer);
    }

    private void Call(int index)
    {
        var (c, d) = (address(index) / 250, address(index) % 250);
        var caller = _callers[index] = new Caller(ConnectFrom(port, (byte)(100 + (c / 250)), (byte)(1 + (c % 250)), (byte)(1 + d)));
        Watch(_epoll, caller.Descriptor, EPOLLOUT, index);
    }

    private void Answered(int index, int events)
    {
        var caller = _callers[index];
        try
        {
            if ((events & (Error | HangUp)) != 0 && caller.Socket is null)
            {
                Again(index, letIn: false, refused: false);
                return;
            }

            if (caller.Socket is null)
            {
                caller.Socket = new TlsSocket(_context, caller.Descriptor, server: false);
                Watch(_epoll, caller.Descriptor, EPOLLIN, index, EPOLL_CTL_MOD);
            }

            if (!caller.Socket.Established)
            {
                if (!caller.Socket.Handshake())
                    return;

                caller.Socket.Write(connect(index));
            }

            var read = caller.Socket.Read(_buffer, 4096);
            if (read == 0)
                return;
            if (caller.IsIn && read < 0)
                throw new IOException("the hub closed a connection that it had let in");
            if (!caller.IsIn)
                Again(index, letIn: read >= 4 && _buffer[3] == 0, refused: read >= 4 && _buffer[3] != 0);
        }
        catch (IOException) when (!caller.IsIn)
        {
            Again(index, letIn: false, refused: false);
        }
    }

    private void Again(int index, bool letIn, bool refused)
    {
        LetIn += letIn ? 1 : 0;
        Refused += refused ? 1 : 0;
        Closed += letIn || refused ? 0 : 1;
        if (letIn && keepOpen)
        {
            _callers[index].IsIn = true;
            return;
        }

        _callers[index].Close();
        Call(index);
    }

    private sealed class Caller(int descriptor)
    {
        private bool _isClosed;

        public int Descriptor { get; } = descriptor;

        public TlsSocket? Socket { get; set; }

        public bool IsIn { get; set; }

        public void Close()
        {
            if (_isClosed)
                return;

            _isClosed = true;
            if (Socket is not null)
                Socket.Dispose();
            else
                close(Descriptor);
        }
    }
}
