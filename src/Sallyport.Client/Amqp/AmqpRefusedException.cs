using Sallyport.Protocol.Amqp;

namespace Sallyport.Client.Amqp;

/// <summary>The hub refused over AMQP what it was asked: to take a message, to let read, to answer. Nothing was done.</summary>
/// <param name="condition">The hub's name for it, for example <c>amqp:not-found</c>.</param>
public sealed class AmqpRefusedException(string condition, string message) : Exception(message)
{
    /// <summary>The hub's name for it, for example <c>amqp:not-found</c>; a symbol of AMQP 1.0, or Azure's with <c>com.microsoft:</c>.</summary>
    public string Condition { get; } = condition;

    /// <summary>The same may be accepted later: the hub was busy, over a limit, or is stopping. False: it will be refused again.</summary>
    public bool IsRetryable { get; } = IsTransient(condition);

    internal static AmqpRefusedException Of(AmqpError error) =>
        new(error.Condition, error.Description.Length == 0 ? $"the hub refused ({error.Condition})" : $"{error.Description} ({error.Condition})");

    internal static bool IsTransient(string condition) => condition is AmqpConditions.InternalError or AmqpConditions.ConnectionForced
        or AmqpConditions.DetachForced
        or "com.microsoft:timeout" or "com.microsoft:server-busy" or "com.microsoft:device-container-throttled" or "com.microsoft:quota-exceeded"
        or Released;

    /// <summary>Stands for the outcomes released and modified, which carry no condition: not taken, may be sent again (AMQP 1.0 part 3, 3.4.4).</summary>
    internal const string Released = "amqp:released";
}
