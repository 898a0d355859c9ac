using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Sallyport.Hub.Access;

namespace Sallyport.Heads;

/// <summary>
/// The right that a route needs, declared where the route is mapped. A route without it does not start
/// (<see cref="Rights.None"/> must be said aloud: health). The middleware checks it before the handler runs.
/// </summary>
/// <param name="Rights">All of these are needed.</param>
/// <param name="AsDevice">The route belongs to the device named by its <c>{id}</c>: the device's own credential, or a policy with <see cref="Rights.DeviceConnect"/>, opens it.</param>
public sealed record RequiredRights(Rights Rights, bool AsDevice = false);

public static class RouteAccess
{
    /// <summary>Declares the rights of a route.</summary>
    public static T Requires<T>(this T route, Rights rights)
        where T : IEndpointConventionBuilder
    {
        route.Add(endpoint => endpoint.Metadata.Add(new RequiredRights(rights)));
        return route;
    }

    /// <summary>Declares a route that a device calls for itself.</summary>
    public static T RequiresDevice<T>(this T route)
        where T : IEndpointConventionBuilder
    {
        route.Add(endpoint => endpoint.Metadata.Add(new RequiredRights(Rights.DeviceConnect, AsDevice: true)));
        return route;
    }

    /// <summary>Who called; set by the middleware for every route that needs a right.</summary>
    public static Admission Caller(this HttpContext context) =>
        context.Features.Get<Admission>() ?? throw new InvalidOperationException("the route declares no right");
}
