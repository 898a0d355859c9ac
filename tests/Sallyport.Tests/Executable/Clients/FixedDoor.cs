using System.Net;
using System.Net.Sockets;

namespace Sallyport.Tests.Executable.Clients;

/// <summary>A port that stays while the hub behind it comes back on another one: what connects is carried to wherever the hub is now, or cut.</summary>
internal sealed class FixedDoor : IAsyncDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly Func<int> _hubsPort;
    private readonly Task _accepting;

    /// <param name="hubsPort">Asked at each connection.</param>
    public FixedDoor(Func<int> hubsPort)
    {
        _hubsPort = hubsPort;
        _listener.Start();
        _accepting = AcceptAsync();
    }

    public int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

    /// <summary>Lets nobody in any more; who is in stays.</summary>
    public async ValueTask DisposeAsync()
    {
        _listener.Stop();
        await _accepting;
        _listener.Dispose();
    }

    private async Task AcceptAsync()
    {
        while (true)
        {
            TcpClient client;
            try
            {
                client = await _listener.AcceptTcpClientAsync();
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException or InvalidOperationException)
            {
                return;
            }

            _ = CarryAsync(client);
        }
    }

    private async Task CarryAsync(TcpClient client)
    {
        using var owned = client;
        using var hub = new TcpClient();
        try
        {
            await hub.ConnectAsync(IPAddress.Loopback, _hubsPort());
        }
        catch (SocketException)
        {
            return; // The hub is away.
        }

        await Task.WhenAny(client.GetStream().CopyToAsync(hub.GetStream()), hub.GetStream().CopyToAsync(client.GetStream()));
    }
}
