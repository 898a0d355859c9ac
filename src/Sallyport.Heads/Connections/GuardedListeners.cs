using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.Logging;

namespace Sallyport.Heads.Connections;

/// <summary>
/// Accepts for Kestrel, and closes the sockets of whom nobody wants to hear before anything is made for them: an accept and a close
/// (a reset) instead of a connection and a TLS handshake. Thread-safe.
/// </summary>
/// <remarks>
/// At most <see cref="RefusedPerPause"/> sockets are refused in <see cref="Pause"/>: a flood costs about a twentieth of a processor, and the
/// sockets behind it, good ones too, wait in the kernel's backlog (4,096) two seconds at most.
/// </remarks>
/// <param name="take">The bound and listening socket of an endpoint; owned here from then on.</param>
/// <param name="refuses">Asked for the address of each accepted socket; counts by itself what it refuses. Must not block.</param>
public sealed class GuardedListeners(Func<EndPoint, Socket> take, Func<IPAddress, bool> refuses, SocketConnectionFactoryOptions options, TimeProvider time, ILoggerFactory logs)
    : IConnectionListenerFactory
{
    private const int RefusedPerPause = 25;
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(10);

    // Bounded by the process's open files, as the connections are.
    private readonly ConcurrentDictionary<ConnectionContext, IPAddress> _open = new();

    public ValueTask<IConnectionListener> BindAsync(EndPoint endpoint, CancellationToken cancellationToken = default) =>
        new(new Listener(this, endpoint, take(endpoint)));

    /// <summary>Cuts every open connection whose address is refused by now.</summary>
    /// <returns>How many.</returns>
    public int Cut(Func<IPAddress, bool> refused, string reason)
    {
        var cut = 0;
        foreach (var (connection, address) in _open)
        {
            if (!refused(address))
                continue;

            connection.Abort(new ConnectionAbortedException(reason));
            cut++;
        }

        return cut;
    }

    private sealed class Listener(GuardedListeners owner, EndPoint endPoint, Socket socket) : IConnectionListener
    {
        private readonly SocketConnectionContextFactory _connections = new(owner.Options, owner.Logger);

        // Owned by AcceptAsync, of which one runs at a time.
        private long _pauseBegan;
        private int _refused;

        public EndPoint EndPoint { get; } = endPoint;

        public async ValueTask<ConnectionContext?> AcceptAsync(CancellationToken cancellationToken = default)
        {
            while (true)
            {
                // Behind what waits in the thread pool already: the backlog of a fleet that comes back would stand there, all of it, before the
                // work of those that are connected (they waited 0.3 s and more for it).
                await Task.Yield();
                try
                {
                    var accepted = await socket.AcceptAsync(cancellationToken).ConfigureAwait(false);
                    if ((accepted.RemoteEndPoint as IPEndPoint)?.Address is not { } address || owner.Refuses(address))
                    {
                        accepted.Close(0);
                        await owner.PauseAsync(ref _refused, ref _pauseBegan, cancellationToken).ConfigureAwait(false);
                        continue;
                    }

                    accepted.NoDelay = true;
                    return owner.Keep(_connections.Create(accepted), address);
                }
                catch (ObjectDisposedException)
                {
                    return null;
                }
                catch (SocketException ended) when (ended.SocketErrorCode == SocketError.OperationAborted)
                {
                    return null;
                }
                catch (SocketException)
                {
                    continue; // Reset while it waited to be accepted.
                }
            }
        }

        public ValueTask UnbindAsync(CancellationToken cancellationToken = default)
        {
            socket.Dispose();
            return ValueTask.CompletedTask;
        }

        public ValueTask DisposeAsync()
        {
            socket.Dispose();
            _connections.Dispose();
            return ValueTask.CompletedTask;
        }
    }

    private Task PauseAsync(ref int refused, ref long began, CancellationToken cancel)
    {
        if (refused++ == 0)
            began = time.GetTimestamp();
        if (refused < RefusedPerPause)
            return Task.CompletedTask;

        refused = 0;
        var left = Pause - time.GetElapsedTime(began);
        return left > TimeSpan.Zero ? Task.Delay(left, time, cancel) : Task.CompletedTask;
    }

    private SocketConnectionFactoryOptions Options { get; } = options;

    private ILogger Logger { get; } = logs.CreateLogger("Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets");

    private bool Refuses(IPAddress address) => refuses(address);

    private ConnectionContext Keep(ConnectionContext connection, IPAddress address)
    {
        _open.TryAdd(connection, address);
        connection.ConnectionClosed.UnsafeRegister(_ => _open.TryRemove(connection, out IPAddress? _), null);
        return connection;
    }
}
