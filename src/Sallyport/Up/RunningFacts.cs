using System.Net;
using Sallyport.Certificates;
using Sallyport.Hub.Posture;
using Sallyport.Services.Connections;
using Sallyport.Settings;
using Sallyport.Storage;
using Sallyport.Storage.Secrets;

namespace Sallyport.Up;

/// <summary>What the executable tells posture of the running hub. Thread-safe.</summary>
internal sealed class RunningFacts(LiveSettings live, DataDirectory data, HeldKeys keys, ListenSockets sockets, ServerCertificate certificate, ServiceConnections connections, TimeProvider time)
{
    private readonly IReadOnlyList<string> _open =
        [.. sockets.All.Where(listener => !IPAddress.IsLoopback(listener.Address)).Select(listener => listener.ToString())];

    public HubFacts Now()
    {
        var settings = live.Current;
        var isGenerated = settings.Tls.CertificateFile is null;
        var now = time.GetUtcNow();
        return new HubFacts
        {
            IsProduction = settings.Hub.Production,
            OpenAddresses = _open,
            UsesDevelopmentRoot = isGenerated,
            ServerCertificateEnds = isGenerated ? null : certificate.Ends,
            OwnerStringFile = settings.Hub.Production ? null : data.EndpointsPath,
            KeyFile = keys.Path,
            OldKeys = keys.OldIds,
            DataDirectory = data.Path,
            MaxTokenLifetime = settings.Access.Tokens.MaxLifetime,
            Loosened = [.. AllSettings.Insecure(settings).Select(loosened => new LoosenedDefence(
                loosened.Setting.Key, loosened.Switch.ToString(), loosened.Switch.Objection(now), loosened.Switch.IsOver(now)))],
            PlainConnections = connections.WithoutTls(),
        };
    }
}
