namespace Sallyport.Services.Outgoing;

/// <summary>A target cannot be used now; the connection says so and tries again. The message holds no secret.</summary>
/// <param name="refused">True when the target, or a rule here, said no, so that somebody has to act; false when it was not reached.</param>
internal sealed class TargetException(string message, bool refused, Exception? inner = null) : Exception(message, inner)
{
    public bool Refused { get; } = refused;
}
