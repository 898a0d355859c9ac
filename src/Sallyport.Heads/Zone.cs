using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace Sallyport.Heads;

/// <summary>Whom a route or a listener serves.</summary>
[Flags]
public enum Zone
{
    Devices = 1,
    Services = 2,
    All = Devices | Services,
}

/// <summary>The zone of the listener through which a connection came; a connection without it came through one that serves all.</summary>
internal sealed record ListenerZone(Zone Zone);

public static class ZonedListeners
{
    /// <summary>Routes of another zone are not there for whoever comes through this listener.</summary>
    public static void Serves(this ListenOptions listen, Zone zone)
    {
        var mark = new ListenerZone(zone);
        listen.Use(next => connection =>
        {
            connection.Features.Set(mark);
            return next(connection);
        });
    }
}
