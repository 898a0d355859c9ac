using Microsoft.Extensions.Logging;

namespace Sallyport.Services.Connections;

/// <summary>Stable ids of what connections log: 6000 to 6099.</summary>
internal static class ConnectionEvents
{
    public static readonly EventId Running = new(6000, nameof(Running));
    public static readonly EventId Failed = new(6001, nameof(Failed));
    public static readonly EventId Stopped = new(6002, nameof(Stopped));
    public static readonly EventId Skipped = new(6003, nameof(Skipped));
}
