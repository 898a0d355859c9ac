namespace Sallyport.Protocol.Amqp;

/// <summary>What the peer is told when a link, session or connection ends, or a delivery is rejected (AMQP 1.0 part 2, 2.8.14).</summary>
/// <param name="Condition">A symbol, for example <c>amqp:not-found</c>.</param>
/// <param name="Description">Goes onto the wire: no secret, nothing that only the operator may know.</param>
public sealed record AmqpError(string Condition, string Description)
{
    /// <summary>Of <c>amqp:link:redirect</c>: where to go instead; null otherwise.</summary>
    public AmqpRedirect? Redirect { get; init; }
}

/// <summary>The info map of <c>amqp:link:redirect</c> (AMQP 1.0 part 2, 2.8.18).</summary>
public sealed record AmqpRedirect(string HostName, string NetworkHost, int Port, string Address);

/// <summary>The standard's conditions (AMQP 1.0 part 2, 2.8.15 to 2.8.18).</summary>
public static class AmqpConditions
{
    public const string InternalError = "amqp:internal-error";
    public const string NotFound = "amqp:not-found";
    public const string UnauthorizedAccess = "amqp:unauthorized-access";
    public const string DecodeError = "amqp:decode-error";
    public const string ResourceLimitExceeded = "amqp:resource-limit-exceeded";
    public const string NotAllowed = "amqp:not-allowed";
    public const string InvalidField = "amqp:invalid-field";
    public const string NotImplemented = "amqp:not-implemented";
    public const string IllegalState = "amqp:illegal-state";
    public const string FrameSizeTooSmall = "amqp:frame-size-too-small";
    public const string ConnectionForced = "amqp:connection:forced";
    public const string FramingError = "amqp:connection:framing-error";
    public const string WindowViolation = "amqp:session:window-violation";
    public const string ErrantLink = "amqp:session:errant-link";
    public const string HandleInUse = "amqp:session:handle-in-use";
    public const string UnattachedHandle = "amqp:session:unattached-handle";
    public const string DetachForced = "amqp:link:detach-forced";
    public const string TransferLimitExceeded = "amqp:link:transfer-limit-exceeded";
    public const string MessageSizeExceeded = "amqp:link:message-size-exceeded";
    public const string LinkRedirect = "amqp:link:redirect";
    public const string LinkStolen = "amqp:link:stolen";
}

/// <summary>
/// The peer broke AMQP's rules in a way that ends its connection. Caught in one place per connection, which says so with a close.
/// </summary>
/// <param name="description">What happened; goes onto the wire.</param>
public sealed class AmqpProtocolException(string condition, string description) : Exception(description)
{
    public AmqpError Error { get; } = new(condition, description);
}
