using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Sallyport.Hub.Access;
using Sallyport.Protocol.Errors;

namespace Sallyport.Heads;

/// <summary>
/// The right that a route needs, declared where the route is mapped. A route without it does not start
/// (<see cref="Rights.None"/> must be said aloud: health). The middleware checks it before the handler runs.
/// </summary>
/// <param name="Rights">All of these are needed.</param>
/// <param name="Resource">What the <c>sr</c> of the token must cover; null for the path. For a route that looks like one of a device of that name but is about all.</param>
/// <param name="AsDevice">The route belongs to the device named by its <c>{id}</c>: the device's own credential, or a policy with <see cref="Rights.DeviceConnect"/>, opens it.</param>
/// <param name="ServedTo">Null: devices when <paramref name="AsDevice"/>, services when it needs a right, else all.</param>
/// <param name="OrModule">A module of the device named by <c>{id}</c> may call as well, with its own credential; it names itself in <c>x-ms-edge-moduleId</c>.</param>
public sealed record RequiredRights(Rights Rights, bool AsDevice = false, string? Resource = null, Zone? ServedTo = null, bool OrModule = false)
{
    /// <summary>Through which listeners it is there, when devices and services have their own.</summary>
    public Zone Zone => ServedTo ?? (AsDevice ? Zone.Devices : Rights is Rights.None ? Zone.All : Zone.Services);
}

/// <summary>The route is about many devices, and keeps by itself to those that its caller's scope covers.</summary>
internal sealed record KeepsToScope;

/// <summary>
/// The route asks for a credential of its own (a signature in the URL) and tells the connection's lease what came of it. It needs
/// <see cref="Rights.None"/>, and is open to nobody.
/// </summary>
internal sealed record OwnCredential
{
    public static readonly OwnCredential Instance = new();
}

/// <summary>How the caller of a request is let in; may be asked again.</summary>
internal sealed record CallerCheck(Func<ValueTask<Admission>> AdmitAsync);

public static class RouteAccess
{
    /// <summary>Declares the rights of a route.</summary>
    /// <param name="resource">See <see cref="RequiredRights"/>.</param>
    /// <param name="servedTo">See <see cref="RequiredRights"/>.</param>
    /// <param name="orModule">See <see cref="RequiredRights"/>.</param>
    public static T Requires<T>(this T route, Rights rights, string? resource = null, Zone? servedTo = null, bool orModule = false)
        where T : IEndpointConventionBuilder
    {
        route.Add(endpoint => endpoint.Metadata.Add(new RequiredRights(rights, Resource: resource, ServedTo: servedTo, OrModule: orModule)));
        return route;
    }

    /// <summary>Declares a route that a device calls for itself.</summary>
    public static T RequiresDevice<T>(this T route)
        where T : IEndpointConventionBuilder
    {
        route.Add(endpoint => endpoint.Metadata.Add(new RequiredRights(Rights.DeviceConnect, AsDevice: true)));
        return route;
    }

    /// <summary>
    /// Declares that the route asks <see cref="Principal.Scope"/> of its caller. Without it, and without an <c>{id}</c> in its path that names
    /// the device, nobody whose rights are limited to some devices is let in.
    /// </summary>
    public static T KeepsToScope<T>(this T route)
        where T : IEndpointConventionBuilder
    {
        route.Add(endpoint => endpoint.Metadata.Add(new KeepsToScope()));
        return route;
    }

    /// <summary>Who called; set by the middleware for every route that needs a right.</summary>
    public static Admission Caller(this HttpContext context) =>
        context.Features.Get<Admission>() ?? throw new InvalidOperationException("the route declares no right");

    /// <summary>
    /// Asks again who called, and sets <see cref="Caller"/> anew. To be called once the body has arrived: whoever sends it byte by byte
    /// holds a request open for many minutes, and must not act with a credential that was withdrawn meanwhile.
    /// </summary>
    /// <exception cref="HubException">The caller would not be let in any more.</exception>
    public static async ValueTask ConfirmCallerAsync(this HttpContext context)
    {
        var again = context.Features.Get<CallerCheck>() ?? throw new InvalidOperationException("the route declares no right");
        var admission = await again.AdmitAsync();
        if (!admission.IsAdmitted)
            throw new HubException(admission.Error!, TerseReason(admission.Error!));

        context.Features.Set(admission);
    }

    /// <summary>What one who is not let in reads.</summary>
    internal static string TerseReason(HubError error) => error.HttpStatus == StatusCodes.Status401Unauthorized ? "Unauthorized" : error.Meaning;
}
