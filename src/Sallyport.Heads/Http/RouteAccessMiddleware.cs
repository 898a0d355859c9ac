using System.Globalization;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Http.Metadata;
using Microsoft.AspNetCore.Routing;
using Microsoft.AspNetCore.Routing.Patterns;
using Microsoft.AspNetCore.Server.Kestrel.Core.Features;
using Microsoft.Extensions.Logging;
using Sallyport.Hub.Access;
using Sallyport.Hub.Access.Certificates;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Diagnosis;
using Sallyport.Hub.Limits;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;

namespace Sallyport.Heads.Http;

/// <summary>
/// The guarded way in of the HTTP head: asks who calls and whether they hold the right that the route declares, and turns every
/// refusal and failure behind it into IoT Hub's error answer. What a refused caller reads is terse; the reason is in the log, and by whoever authenticates in the audit trail.
/// </summary>
internal sealed class RouteAccessMiddleware
{
    /// <summary>Registry requests are small; a route that takes more says so (<see cref="IRequestSizeLimitMetadata"/>).</summary>
    public const int MaxBodyBytes = 256 * 1024;

    public const string RequestIdHeader = "x-ms-request-id";
    private const string ClientRequestIdHeader = "Request-Id";
    private const string ModuleHeader = "x-ms-edge-moduleId";
    private const int MaxClientRequestIdLength = 128;
    private const string NothingHere = "there is nothing at this path";

    private readonly RequestDelegate _next;
    private readonly IServiceAuthentication _services;
    private readonly IDeviceAuthentication _devices;
    private readonly Attempts _attempts;
    private readonly IAuditTrail _audit;
    private readonly TimeProvider _time;
    private readonly ILogger<RouteAccessMiddleware> _log;
    private readonly RefusalLines _refusals;

    public RouteAccessMiddleware(
        RequestDelegate next, EndpointDataSource routes, IServiceAuthentication services, IDeviceAuthentication devices,
        Attempts attempts, IAuditTrail audit, TimeProvider time, ILogger<RouteAccessMiddleware> log)
    {
        RouteAccessCheck.Verify(routes);
        _next = next;
        _services = services;
        _devices = devices;
        _attempts = attempts;
        _audit = audit;
        _time = time;
        _log = log;
        _refusals = new RefusalLines(time, log);
    }

    public async Task InvokeAsync(HttpContext context)
    {
        NameRequest(context);
        context.Response.OnStarting(ProtectiveHeaders.Add, context);
        try
        {
            await HandleAsync(context);
        }
        catch (HubException refusal)
        {
            await AnswerAsync(context, refusal.Error, refusal.Message, refusal.Error.HttpStatus, refusal.RetryAfter);
        }
        catch (BadHttpRequestException bad)
        {
            var error = bad.StatusCode == StatusCodes.Status413PayloadTooLarge ? HubErrors.MessageTooLarge : HubErrors.FormatError;
            await AnswerAsync(context, error, "the request is malformed, too slow or too large", bad.StatusCode);
        }
        catch (OperationCanceledException) when (context.RequestAborted.IsCancellationRequested)
        {
            // Nobody is there any more to read an answer; Kestrel ends the request.
            return;
        }
        catch (Exception failure)
        {
            _log.LogError(new EventId(4101, "RequestFailed"), failure, "{Method} {Path} failed; correlation id {CorrelationId}",
                context.Request.Method, context.Request.Path, context.TraceIdentifier);
            await AnswerAsync(context, HubErrors.ServerError, HubErrors.ServerError.Meaning, HubErrors.ServerError.HttpStatus);
        }
    }

    // The id that audit, log and answer share is made here: one chosen by a client could point at somebody else's acts.
    private static void NameRequest(HttpContext context)
    {
        context.TraceIdentifier = Guid.NewGuid().ToString("N");
        context.Response.Headers[RequestIdHeader] = context.TraceIdentifier;
        var given = context.Request.Headers[ClientRequestIdHeader].ToString();
        if (given.Length is > 0 and <= MaxClientRequestIdLength && given.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.' or '|'))
            context.Response.Headers[ClientRequestIdHeader] = given;
    }

    private async Task HandleAsync(HttpContext context)
    {
        if (context.GetEndpoint() is not { } endpoint)
            throw new HubException(HubErrors.NotFound, NothingHere);

        var zone = context.Features.Get<ListenerZone>()?.Zone ?? Zone.All;
        if (endpoint is not RouteEndpoint route)
        {
            // Which methods a path knows is told only where every path is.
            if (zone is not Zone.All)
                throw new HubException(HubErrors.NotFound, NothingHere);

            // Made by routing itself: the path is known, the method is not.
            await _next(context);
            if (!context.Response.HasStarted && context.Response.StatusCode == StatusCodes.Status405MethodNotAllowed)
                throw new HubException(HubErrors.MethodNotAllowed, HubErrors.MethodNotAllowed.Meaning);
            return;
        }

        LimitBody(context, route);
        var required = route.Metadata.GetMetadata<RequiredRights>() ?? throw new InvalidOperationException($"{route.DisplayName} declares no right");
        var asModule = required.OrModule && context.Request.Headers.ContainsKey(ModuleHeader);
        if (((asModule ? Zone.Devices : required.Zone) & zone) == 0)
        {
            NoteWrongZone(context, route, zone);
            throw new HubException(HubErrors.NotFound, NothingHere);
        }

        if (required.Rights is not Rights.None)
        {
            var admission = await AdmitAsync(context, route, required);
            if (!admission.IsAdmitted)
            {
                await RefuseAsync(context, route, admission);
                return;
            }

            context.Features.Get<PreAuthenticationLease>()?.Dispose();
            await HandshakeThreads.Leave();
            context.Features.Set(admission);
            if (required.AsDevice)
                _attempts.Note(Attempt.Of(context.RouteIdentity(), PeerOf(context), admission));
            else if (asModule && TryReadModule(context, out var module))
                _attempts.Note(Attempt.Of(module, PeerOf(context), admission));
            context.Features.Set(new CallerCheck(() => AdmitAsync(context, route, required)));
        }
        else if (route.Metadata.GetMetadata<OwnCredential>() is null)
        {
            context.Features.Get<PreAuthenticationLease>()?.Excuse();
        }

        await _next(context);
    }

    // Nobody was asked who they are: what the route is for is not theirs to know. No correlation id: repeated ones are counted, not written.
    private void NoteWrongZone(HttpContext context, RouteEndpoint route, Zone zone)
    {
        var peer = context.Peer();
        _audit.Note(new AuditEntry(
            "anonymous", "", "request", $"{context.Request.Method} {route.RoutePattern.RawText}", "refused",
            $"{HubErrors.NotFound.Code} it is not served on the address of {(zone is Zone.Devices ? "devices" : "services")}",
            "", peer.Address is null ? "local" : $"{peer.Protocol} {peer.Address}"));
    }

    private static void LimitBody(HttpContext context, RouteEndpoint route)
    {
        if (context.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } limit)
            limit.MaxRequestBodySize = route.Metadata.GetMetadata<IRequestSizeLimitMetadata>()?.MaxRequestBodySize ?? MaxBodyBytes;
    }

    private ValueTask<Admission> AdmitAsync(HttpContext context, RouteEndpoint route, RequiredRights required)
    {
        var authorization = context.Request.Headers.Authorization;
        if (authorization.Count > 1)
            return Refuse(context, "there is more than one Authorization header");

        var host = context.Request.Host.Host;
        if (required.OrModule && context.Request.Headers.ContainsKey(ModuleHeader))
            return AdmitModuleAsync(context, authorization, host);
        if (!required.AsDevice)
            return AdmitServiceAsync(context, route, required, authorization, host);

        if (!Identity.TryCreate(context.RouteId("id"), context.RouteId("moduleId"), out var identity))
            return Refuse(context, "the path names no valid device id");

        var credential = new DeviceCredential(authorization, CertificateOf(context));
        return _devices.AuthenticateAsync(identity, host, credential, PeerOf(context), context.RequestAborted);
    }

    // A module asks for its own device and that device's modules, and for nobody else.
    private async ValueTask<Admission> AdmitModuleAsync(HttpContext context, string? authorization, string host)
    {
        if (!TryReadModule(context, out var module))
            return await Refuse(context, $"{ModuleHeader} names no module as device/module");

        var admission = await _devices.AuthenticateAsync(module, host, new DeviceCredential(authorization, CertificateOf(context)), PeerOf(context), context.RequestAborted);
        if (!admission.IsAdmitted || module.DeviceId == context.RouteId("id"))
            return admission;
        return Admission.Refuse(HubErrors.UnauthorizedAccess, $"the module {module} asked for another device than its own");
    }

    private static bool TryReadModule(HttpContext context, out Identity module)
    {
        module = default;
        var named = context.Request.Headers[ModuleHeader];
        return named.Count == 1 && named[0]!.Split('/') is [var device, var name] && Identity.TryCreate(device, name, out module);
    }

    private async ValueTask<Admission> AdmitServiceAsync(HttpContext context, RouteEndpoint route, RequiredRights required, string? authorization, string host)
    {
        // A token goes first, as with devices: a client may show its certificate to whomever it talks to.
        var admission = string.IsNullOrEmpty(authorization) && CertificateOf(context) is { } certificate
            ? await _services.AuthenticateAsync(certificate, host, required.Rights, PeerOf(context), context.RequestAborted)
            : await _services.AuthenticateAsync(
                authorization, host, required.Resource ?? ResourceOf(context, route), required.Rights, PeerOf(context), context.RequestAborted);
        if (admission.Principal is not { Scope.LimitsDevices: true } limited || route.Metadata.GetMetadata<KeepsToScope>() is not null)
            return admission;

        // The same answer for a device that exists and for one that does not.
        if (context.RouteId("id") is { } id && route.RoutePattern.GetParameter("id") is not null && limited.Scope.CoversDevice(id))
            return admission;
        return Admission.Refuse(HubErrors.UnauthorizedAccess, $"{limited.Name} is limited to other devices, or this is about all devices");
    }

    private static PresentedCertificate? CertificateOf(HttpContext context) =>
        PresentedCertificate.Of(context.Connection.ClientCertificate, context.Features.Get<ISslStreamFeature>()?.SslStream);

    private ValueTask<Admission> Refuse(HttpContext context, string reason)
    {
        var admission = Admission.Refuse(HubErrors.Unauthorized, reason);
        _attempts.Note(Attempt.Of("", PeerOf(context), admission));
        return ValueTask.FromResult(admission);
    }

    // Seconds are all that a Date header has: an error below two of them says nothing.
    private Peer PeerOf(HttpContext context)
    {
        var skew = context.Request.GetTypedHeaders().Date - _time.GetUtcNow();
        return context.Peer() with { ClockSkew = skew?.Duration() >= TimeSpan.FromSeconds(2) ? skew : null };
    }

    private Task RefuseAsync(HttpContext context, RouteEndpoint route, Admission admission)
    {
        var error = admission.Error!;
        var peer = context.Peer().Address?.ToString() ?? "local";
        var action = $"{context.Request.Method} {route.RoutePattern.RawText}";
        if (context.Features.Get<PreAuthenticationLease>()?.Answered(IdentityOf(context)) == true)
            context.Response.Headers.Connection = "close";
        else if (_refusals.MayWrite())
            _log.LogWarning(new EventId(4102, "RequestRefused"), "{Action} from {Peer} refused with {Error}: {Reason}; correlation id {CorrelationId}",
                action, peer, error.Name, admission.Reason, context.TraceIdentifier);
        return HubErrorResponse.WriteAsync(context, error, RouteAccess.TerseReason(error));
    }

    private static Identity? IdentityOf(HttpContext context) =>
        Identity.TryCreate(context.RouteId("id"), context.RouteId("moduleId"), out var identity) ? identity : null;

    private static async Task AnswerAsync(HttpContext context, HubError error, string message, int status, TimeSpan? retryAfter = null)
    {
        if (context.Response.HasStarted)
        {
            // Half an answer is out: only cutting the connection tells the client that it is not whole.
            context.Abort();
            return;
        }

        context.Features.Get<PreAuthenticationLease>()?.AnsweredAnybody();
        var allow = context.Response.Headers.Allow;
        context.Response.Clear();
        context.Response.Headers[RequestIdHeader] = context.TraceIdentifier;
        if (status == StatusCodes.Status405MethodNotAllowed)
            context.Response.Headers.Allow = allow;
        if (retryAfter is { } wait)
            context.Response.Headers.RetryAfter = Math.Max(1, Math.Ceiling(wait.TotalSeconds)).ToString("0", CultureInfo.InvariantCulture);
        await HubErrorResponse.WriteAsync(context, error, message, status);
    }

    /// <summary>
    /// The path that a token's <c>sr</c> must cover, in the spelling of the route whatever case the request used: ids are
    /// case-sensitive, literals are not.
    /// </summary>
    private static string ResourceOf(HttpContext context, RouteEndpoint route) =>
        string.Join('/', route.RoutePattern.PathSegments.Select(segment => string.Concat(segment.Parts.Select(part => part switch
        {
            RoutePatternLiteralPart literal => literal.Content,
            RoutePatternSeparatorPart separator => separator.Content,
            RoutePatternParameterPart parameter => context.RouteId(parameter.Name),
            _ => null,
        }))));
}

public static class RouteAccessApplication
{
    /// <summary>
    /// Puts the check before every route. Call it once, after routing; the application does not start when a route declares no right.
    /// </summary>
    public static IApplicationBuilder UseRouteAccess(this IApplicationBuilder application) => application.UseMiddleware<RouteAccessMiddleware>();
}
