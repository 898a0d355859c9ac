using System.Net;

namespace Sallyport.Client.Service;

/// <summary>The hub answered a request with an error.</summary>
/// <param name="status">The HTTP status.</param>
/// <param name="errorCode">The hub's name for it (<c>iothub-errorcode</c>), for example <c>DeviceNotFound</c>; empty when it gave none.</param>
public sealed class ServiceException(HttpStatusCode status, string errorCode, string message) : Exception(message)
{
    public HttpStatusCode Status { get; } = status;

    public string ErrorCode { get; } = errorCode;
}
