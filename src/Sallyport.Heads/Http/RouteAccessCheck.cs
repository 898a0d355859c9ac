using Microsoft.AspNetCore.Routing;

namespace Sallyport.Heads.Http;

/// <summary>Refuses to start a server that has a route whose right nobody declared: what is forgotten must not be open.</summary>
public static class RouteAccessCheck
{
    /// <exception cref="InvalidOperationException">A route declares no right; the message names it.</exception>
    public static void Verify(EndpointDataSource routes)
    {
        var undeclared = routes.Endpoints.OfType<RouteEndpoint>()
            .Where(route => route.Metadata.GetMetadata<RequiredRights>() is null)
            .Select(route => route.DisplayName ?? route.RoutePattern.RawText)
            .ToList();
        if (undeclared.Count > 0)
            throw new InvalidOperationException($"routes without a declared right (call Requires or RequiresDevice where they are mapped): {string.Join(", ", undeclared)}");
    }
}
