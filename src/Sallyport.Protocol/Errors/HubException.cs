namespace Sallyport.Protocol.Errors;

/// <summary>
/// An act that the hub refuses, with the error to answer with and the words for whoever asked. A head catches it in one place
/// per request or connection and says it in its protocol. The message holds no secret.
/// </summary>
public sealed class HubException(HubError error, string message) : Exception(message)
{
    public HubError Error { get; } = error;
}
