using System.Runtime.InteropServices;

namespace Sallyport.Bench;

/// <summary>The few calls of Linux and OpenSSL 3 that the load driver and the probe are made of.</summary>
internal static unsafe partial class Native
{
    public const int EPOLLIN = 1, EPOLLOUT = 4, EPOLL_CTL_ADD = 1, EPOLL_CTL_MOD = 3;
    public const int SSL_ERROR_WANT_READ = 2, SSL_ERROR_WANT_WRITE = 3, SSL_ERROR_ZERO_RETURN = 6;
    private const int AF_INET = 2, SOCK_STREAM = 1, SOCK_CLOEXEC = 0x80000, SOCK_NONBLOCK = 0x800, SOL_SOCKET = 1, IPPROTO_TCP = 6, TCP_NODELAY = 1;

    [LibraryImport("libc", SetLastError = true)] public static partial int epoll_create1(int flags);
    [LibraryImport("libc", SetLastError = true)] public static partial int epoll_ctl(int epoll, int operation, int descriptor, byte* ev);
    [LibraryImport("libc", SetLastError = true)] public static partial int epoll_wait(int epoll, byte* events, int max, int timeoutMs);
    [LibraryImport("libc", SetLastError = true)] public static partial int eventfd(uint initial, int flags);
    [LibraryImport("libc", SetLastError = true)] private static partial int timerfd_create(int clock, int flags);
    [LibraryImport("libc", SetLastError = true)] private static partial int timerfd_settime(int descriptor, int flags, long* time, long* old);
    [LibraryImport("libc", SetLastError = true)] public static partial nint read(int descriptor, void* buffer, nint length);
    [LibraryImport("libc", SetLastError = true)] public static partial nint write(int descriptor, void* buffer, nint length);
    [LibraryImport("libc", SetLastError = true)] public static partial int close(int descriptor);
    [LibraryImport("libc", SetLastError = true)] private static partial int clock_gettime(int clock, long* time);
    [LibraryImport("libc", SetLastError = true)] private static partial int setpriority(int which, int who, int nice);
    [LibraryImport("libc", SetLastError = true)] private static partial int socket(int domain, int type, int protocol);
    [LibraryImport("libc", SetLastError = true)] private static partial int bind(int descriptor, byte* address, int length);
    [LibraryImport("libc", SetLastError = true)] private static partial int listen(int descriptor, int backlog);
    [LibraryImport("libc", SetLastError = true)] private static partial int connect(int descriptor, byte* address, int length);
    [LibraryImport("libc", SetLastError = true)] private static partial int accept4(int descriptor, byte* address, int* length, int flags);
    [LibraryImport("libc", SetLastError = true)] private static partial int setsockopt(int descriptor, int level, int name, int* value, int length);
    [LibraryImport("libc", SetLastError = true)] private static partial int fcntl(int descriptor, int command, int argument);

    [LibraryImport("libssl.so.3")] public static partial nint TLS_server_method();
    [LibraryImport("libssl.so.3")] public static partial nint TLS_client_method();
    [LibraryImport("libssl.so.3")] public static partial nint SSL_CTX_new(nint method);
    [LibraryImport("libssl.so.3")] private static partial nint SSL_CTX_ctrl(nint context, int command, nint argument, nint pointer);
    [LibraryImport("libssl.so.3")] private static partial void SSL_CTX_set_default_read_buffer_len(nint context, nint length);
    [LibraryImport("libssl.so.3", StringMarshalling = StringMarshalling.Utf8)] public static partial int SSL_CTX_use_certificate_chain_file(nint context, string file);
    [LibraryImport("libssl.so.3", StringMarshalling = StringMarshalling.Utf8)] public static partial int SSL_CTX_use_PrivateKey_file(nint context, string file, int type);
    [LibraryImport("libssl.so.3")] public static partial nint SSL_new(nint context);
    [LibraryImport("libssl.so.3")] public static partial int SSL_set_fd(nint ssl, int descriptor);
    [LibraryImport("libssl.so.3")] public static partial void SSL_set_accept_state(nint ssl);
    [LibraryImport("libssl.so.3")] public static partial void SSL_set_connect_state(nint ssl);
    [LibraryImport("libssl.so.3")] public static partial int SSL_do_handshake(nint ssl);
    [LibraryImport("libssl.so.3")] public static partial int SSL_read(nint ssl, void* buffer, int length);
    [LibraryImport("libssl.so.3")] public static partial int SSL_write(nint ssl, void* buffer, int length);
    [LibraryImport("libssl.so.3")] public static partial int SSL_get_error(nint ssl, int result);
    [LibraryImport("libssl.so.3")] public static partial void SSL_free(nint ssl);
    [LibraryImport("libcrypto.so.3")] public static partial void ERR_clear_error();

    /// <summary>A context of clients that move much: several records are read from the socket at once, and a write that waited may go on from another place.</summary>
    public static nint StreamingContext()
    {
        var context = SSL_CTX_new(TLS_client_method());
        SSL_CTX_ctrl(context, 33 /* SSL_CTRL_MODE */, 1 | 2 /* SSL_MODE_ENABLE_PARTIAL_WRITE, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER */, 0);
        SSL_CTX_ctrl(context, 41 /* SSL_CTRL_SET_READ_AHEAD */, 1, 0);
        SSL_CTX_set_default_read_buffer_len(context, 128 * 1024);
        return context;
    }

    /// <summary>struct epoll_event is packed on x64 only.</summary>
    public static readonly int EventSize = RuntimeInformation.ProcessArchitecture == Architecture.X64 ? 12 : 16;
    private static readonly int DataAt = EventSize - 8;

    public static void Watch(int epoll, int descriptor, int events, long data, int operation = EPOLL_CTL_ADD)
    {
        var ev = stackalloc byte[16];
        *(int*)ev = events;
        *(long*)(ev + DataAt) = data;
        Check(epoll_ctl(epoll, operation, descriptor, ev), "epoll_ctl");
    }

    public static long DataOf(byte* events, int index) => *(long*)(events + (index * EventSize) + DataAt);

    public static int Listen(int port)
    {
        var descriptor = Check(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "socket");
        Set(descriptor, SOL_SOCKET, 2 /* SO_REUSEADDR */, 1);
        var address = Address(127, 0, 0, 1, port);
        Check(bind(descriptor, address.Bytes, 16), "bind");
        Check(listen(descriptor, 4096), "listen");
        return descriptor;
    }

    /// <summary>Connects from an address of 127.0/16 chosen by <paramref name="index"/>, so that ports never run out. Blocking.</summary>
    public static int Connect(int port, int index)
    {
        var descriptor = Check(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
        Set(descriptor, 0, 24 /* IP_BIND_ADDRESS_NO_PORT */, 1);
        var from = Address(127, 0, (byte)(1 + (index / 250 % 250)), (byte)(1 + (index % 250)), 0);
        Check(bind(descriptor, from.Bytes, 16), "bind");
        var to = Address(127, 0, 0, 1, port);
        Check(connect(descriptor, to.Bytes, 16), "connect");
        Set(descriptor, IPPROTO_TCP, TCP_NODELAY, 1);
        return descriptor;
    }

    /// <summary>Begins to connect from 127.b.c.d; writable when it is done.</summary>
    public static int ConnectFrom(int port, byte b, byte c, byte d)
    {
        var descriptor = Check(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "socket");
        Set(descriptor, 0, 24 /* IP_BIND_ADDRESS_NO_PORT */, 1);
        Set(descriptor, IPPROTO_TCP, TCP_NODELAY, 1);
        var from = Address(127, b, c, d, 0);
        Check(bind(descriptor, from.Bytes, 16), "bind");
        var to = Address(127, 0, 0, 1, port);
        connect(descriptor, to.Bytes, 16);
        return descriptor;
    }

    public static int Accept(int listener)
    {
        var descriptor = accept4(listener, null, null, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (descriptor >= 0)
            Set(descriptor, IPPROTO_TCP, TCP_NODELAY, 1);
        return descriptor;
    }

    /// <summary>A descriptor that is readable at a fixed interval, by the monotonic clock.</summary>
    public static int Timer(long intervalNs, bool blocking = false)
    {
        var descriptor = Check(timerfd_create(1, SOCK_CLOEXEC | (blocking ? 0 : SOCK_NONBLOCK)), "timerfd_create");
        var (seconds, nanoseconds) = Math.DivRem(intervalNs, 1_000_000_000);
        var time = stackalloc long[] { seconds, nanoseconds, seconds, nanoseconds };
        Check(timerfd_settime(descriptor, 0, time, null), "timerfd_settime");
        return descriptor;
    }

    /// <summary>User and system time of the calling thread, in seconds.</summary>
    public static double ThreadCpuSeconds()
    {
        var time = stackalloc long[2];
        Check(clock_gettime(3 /* CLOCK_THREAD_CPUTIME_ID */, time), "clock_gettime");
        return time[0] + (time[1] / 1e9);
    }

    /// <summary>The calling thread gives way to all others (nice 19).</summary>
    public static void GiveWay() => Check(setpriority(0, 0, 19), "setpriority");

    public static void NonBlocking(int descriptor) => fcntl(descriptor, 4 /* F_SETFL */, 0x800 /* O_NONBLOCK */);

    public static int Check(int result, string call) =>
        result >= 0 ? result : throw new IOException($"{call}: errno {Marshal.GetLastPInvokeError()}");

    private static void Set(int descriptor, int level, int name, int value) => setsockopt(descriptor, level, name, &value, 4);

    private static SocketAddress Address(byte a, byte b, byte c, byte d, int port)
    {
        SocketAddress address = default;
        *(ushort*)address.Bytes = AF_INET;
        address.Bytes[2] = (byte)(port >> 8);
        address.Bytes[3] = (byte)port;
        (address.Bytes[4], address.Bytes[5], address.Bytes[6], address.Bytes[7]) = (a, b, c, d);
        return address;
    }

    private struct SocketAddress
    {
        public fixed byte Bytes[16];
    }
}
