using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Https;
using Sallyport.Certificates;
using Sallyport.Heads;
using Sallyport.Heads.Amqp;
using Sallyport.Heads.Connections;
using Sallyport.Heads.Mqtt;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Limits;
using Sallyport.Hub.Posture;

namespace Sallyport.Up;

/// <summary>What stands at each port before a head does: limits, TLS and what is noted of it.</summary>
internal static class Listeners
{
    /// <summary>A client that does not finish its TLS handshake in this time is cut off.</summary>
    public static readonly TimeSpan HandshakeTimeout = TimeSpan.FromSeconds(10);

    public static void Listen(this KestrelServerOptions kestrel, ListenSockets sockets, PreAuthenticationLimits limits, IAuditTrail audit, TimeProvider time, ServerCertificate certificate, Sightings sightings)
    {
        foreach (var endPoint in sockets.Https.Concat(sockets.Services))
        {
            var zone = sockets.Services.Count == 0 ? Zone.All : sockets.Services.Contains(endPoint) ? Zone.Services : Zone.Devices;
            kestrel.Listen(endPoint, listen =>
            {
                // HTTP/1.1 is what every SDK speaks; WebSockets need it, and there is no HTTP/2 to defend.
                listen.Protocols = HttpProtocols.Http1;
                listen.Serves(zone);
                listen.UsePreAuthenticationLimits(limits, audit, time);
                listen.UseHandshakeRecord(audit);
                listen.UseHttps(Handshake(() => certificate.Https));
                listen.NoteTls(sightings);
                listen.UseFinishedHandshake();
            });
        }

        foreach (var endPoint in sockets.Mqtts)
        {
            kestrel.Listen(endPoint, listen =>
            {
                listen.UsePreAuthenticationLimits(limits, audit, time);
                listen.UseHandshakeRecord(audit);
                listen.UseHttps(Handshake(() => certificate.Mqtts));
                listen.NoteTls(sightings);
                listen.UseFinishedHandshake();
                listen.UseConnectionHandler<MqttConnectionHandler>();
            });
        }

        foreach (var endPoint in sockets.Amqps.Concat(sockets.ServiceAmqps))
        {
            var zone = sockets.ServiceAmqps.Count == 0 ? Zone.All : sockets.ServiceAmqps.Contains(endPoint) ? Zone.Services : Zone.Devices;
            kestrel.Listen(endPoint, listen =>
            {
                listen.Serves(zone);
                listen.UsePreAuthenticationLimits(limits, audit, time);
                listen.UseHandshakeRecord(audit);
                listen.UseHttps(Handshake(() => certificate.Mqtts));
                listen.NoteTls(sightings);
                listen.UseFinishedHandshake();
                listen.UseConnectionHandler<AmqpConnectionHandler>();
            });
        }

        foreach (var endPoint in sockets.PlainAmqp)
        {
            kestrel.Listen(endPoint, listen =>
            {
                listen.Serves(Zone.Services);
                listen.UsePreAuthenticationLimits(limits, audit, time);
                listen.UseConnectionHandler<AmqpConnectionHandler>();
            });
        }
    }

    private static TlsHandshakeCallbackOptions Handshake(Func<System.Net.Security.SslServerAuthenticationOptions> options) => new()
    {
        HandshakeTimeout = HandshakeTimeout,
        OnConnection = _ => ValueTask.FromResult(options()),
    };
}
