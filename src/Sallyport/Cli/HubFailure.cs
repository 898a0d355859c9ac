using System.Net;
using System.Text.Json;
using Sallyport.Client.Service;

namespace Sallyport.Cli;

/// <summary>What went wrong between a verb and the hub, as one sentence that says what to do.</summary>
internal static class HubFailure
{
    private const string CodePrefix = "ErrorCode:";

    /// <summary>Whether the hub is away, so that trying again later may help.</summary>
    public static bool IsAway(Exception failure) => failure switch
    {
        ServiceException refused => refused.Status is HttpStatusCode.TooManyRequests or >= HttpStatusCode.InternalServerError,
        HttpRequestException broken => !IsUntrusted(broken),
        _ => failure is IOException or TimeoutException,
    };

    /// <returns>Null when it is nothing of the kind.</returns>
    public static FailedException? Describe(Exception failure, HubLogin login) => failure switch
    {
        ServiceException refused => new FailedException($"{Said(refused)}{Advice(refused, login)}.", failure),
        HttpRequestException broken when IsUntrusted(broken) => new FailedException(
            $"What answers at {login.Address} did not prove to be that hub ({Innermost(failure)}): name its root with --ca-file, as `sallyport ca export` writes it.", failure),
        HttpRequestException { HttpRequestError: HttpRequestError.NameResolutionError } => new FailedException(
            $"The name {login.HostName} is not known on this machine: check the HostName of the login.", failure),
        HttpRequestException or IOException => new FailedException(
            $"No hub answers at {login.Address} ({Innermost(failure)}): start it with ./sallyport up, or check host and port.", failure),
        TimeoutException => new FailedException($"The hub at {login.Address} took too long to answer: look at its log, and try again.", failure),
        JsonException or InvalidDataException => new FailedException($"What answers at {login.Address} does not speak JSON: check host and port.", failure),
        _ => null,
    };

    private static string Said(ServiceException refused)
    {
        // The body says it as SDKs need it: ErrorCode:DeviceNotFound;there is no such device
        var text = refused.Message;
        if (text.StartsWith(CodePrefix, StringComparison.Ordinal) && text.IndexOf(';', StringComparison.Ordinal) is > 0 and var end)
            text = text[(end + 1)..];
        text = text.Trim().TrimEnd('.');
        if (text.Length > 0)
            text = char.ToUpperInvariant(text[0]) + text[1..];
        return $"{text} ({(refused.ErrorCode.Length > 0 ? refused.ErrorCode : (int)refused.Status)})";
    }

    private static string Advice(ServiceException refused, HubLogin login) => refused.Status switch
    {
        HttpStatusCode.Unauthorized when refused.ErrorCode == "IotHubUnauthorizedAccess" =>
            $": {login.Who} does not hold the right that this needs, or not for this; use one that does",
        HttpStatusCode.Unauthorized when login.Policy is null => $": check that an operator is registered with {login.Who}, is enabled, and has not ended",
        HttpStatusCode.Unauthorized => $": check that {login.Who} exists and that this is its key of now",
        HttpStatusCode.Forbidden when refused.ErrorCode == "DeviceMaximumQueueDepthExceeded" => ": wait until it has taken some, or `sallyport device c2d-message purge`",
        HttpStatusCode.Forbidden => ": the hub takes no more for now; `sallyport status` and its log say why",
        HttpStatusCode.NotFound => refused.ErrorCode switch
        {
            "DeviceNotFound" => ": `sallyport device-identity list` shows those there are",
            "ModuleNotFound" => ": `sallyport module-identity list` shows those there are",
            "DeviceNotOnline" => ": wait longer with --connect-timeout; `sallyport device diagnose` says when it was here",
            _ => ": check the name",
        },
        HttpStatusCode.Conflict => ": choose another name, or change what there is",
        HttpStatusCode.PreconditionFailed => ": somebody changed it meanwhile; look at it with `show` and give the etag that it has now",
        HttpStatusCode.TooManyRequests or HttpStatusCode.ServiceUnavailable => ": wait a little and try again",
        >= HttpStatusCode.InternalServerError and not HttpStatusCode.NotImplemented => ": the hub's log says more",
        _ => "",
    };

    // A handshake may also break because the hub goes: that is an IOException.
    private static bool IsUntrusted(HttpRequestException broken) => broken.InnerException is System.Security.Authentication.AuthenticationException;

    private static string Innermost(Exception failure) => failure.GetBaseException().Message.TrimEnd('.');
}
