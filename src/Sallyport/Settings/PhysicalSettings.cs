using Sallyport.Hub.Physical;

namespace Sallyport.Settings;

/// <summary>By which rules devices are taken for stolen, opened or copied.</summary>
internal sealed record PhysicalSettings
{
    /// <summary>Any of them in a message puts its sender into quarantine.</summary>
    public IReadOnlyList<TamperProperty> TamperProperties { get; init; } = [];

    public CloneRule Copies { get; init; } = new();
}

/// <summary>What becomes of an identity that may have been copied.</summary>
internal enum CloneAction
{
    Report,
    Quarantine,
}
