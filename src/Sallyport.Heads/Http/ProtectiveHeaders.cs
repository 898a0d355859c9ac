using Microsoft.AspNetCore.Http;

namespace Sallyport.Heads.Http;

/// <summary>
/// What every answer tells a browser, refusals included: nobody is meant to come with one, so it may do nothing with what it gets. SDKs ignore all
/// of it. An answer that Kestrel gives by itself, to a request that is no HTTP, has none of them.
/// </summary>
internal static class ProtectiveHeaders
{
    /// <summary>For <see cref="HttpResponse.OnStarting(Func{object, Task}, object)"/>: an error clears what was set before.</summary>
    public static Task Add(object state)
    {
        var context = (HttpContext)state;
        var headers = context.Response.Headers;
        headers.XContentTypeOptions = "nosniff";
        headers.ContentSecurityPolicy = "default-src 'none'; frame-ancestors 'none'";
        headers["Referrer-Policy"] = "no-referrer";
        if (headers.CacheControl.Count == 0)
            headers.CacheControl = "no-store";

        // A browser would remember it for everything else that a developer serves on localhost.
        var host = context.Request.Host.Host;
        if (!host.Equals("localhost", StringComparison.OrdinalIgnoreCase) && !host.EndsWith(".localhost", StringComparison.OrdinalIgnoreCase))
            headers.StrictTransportSecurity = "max-age=31536000";
        return Task.CompletedTask;
    }
}
