using System.Net;
using Microsoft.AspNetCore.Http;
using Sallyport.Hub.Access;
using Sallyport.Hub.Audit;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;

namespace Sallyport.Heads.Http;

/// <summary>What routes ask of a request: who calls, from where, about which identity.</summary>
public static class HttpCaller
{
    public static Peer Peer(this HttpContext context) => new(
        context.Connection.RemoteIpAddress is { } address ? new IPEndPoint(address, context.Connection.RemotePort) : null, "https");

    /// <summary>Who does the management act. Only behind a route that needs a right.</summary>
    public static Actor Actor(this HttpContext context) => Hub.Audit.Actor.Of(context.Caller().Principal!, context.TraceIdentifier, context.Peer());

    public static Rights Held(this HttpContext context) => context.Caller().Principal!.Rights;

    /// <summary>A value of the path, decoded.</summary>
    public static string? RouteId(this HttpContext context, string name) => context.Request.RouteValues[name] as string;

    /// <summary>The device or module that the path names.</summary>
    /// <exception cref="HubException">400: an id is not valid.</exception>
    public static Identity RouteIdentity(this HttpContext context)
    {
        var (device, module) = (context.RouteId("id"), context.RouteId("moduleId"));
        return Identity.TryCreate(device, module, out var identity)
            ? identity
            : throw new HubException(HubErrors.ArgumentInvalid, "an id has 1 to 128 ASCII letters, digits and - . + % _ # * ? ! ( ) , = @ $ ' : ;");
    }
}
