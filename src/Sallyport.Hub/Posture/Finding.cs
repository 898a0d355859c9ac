namespace Sallyport.Hub.Posture;

/// <summary>How much a weak spot matters. Numbers grow with it.</summary>
public enum PostureLevel
{
    /// <summary>To be known.</summary>
    Info,

    /// <summary>Good to mend.</summary>
    Low,

    /// <summary>Helps an attacker who has something already.</summary>
    Medium,

    /// <summary>Opens something to whoever finds it.</summary>
    High,

    /// <summary>Open now.</summary>
    Critical,
}

/// <summary>One weak spot that is there. Immutable; holds no secret.</summary>
/// <param name="Id">Stable, for scripts: <c>shared-credentials</c>.</param>
/// <param name="What">What is wrong and what it costs, in a sentence.</param>
/// <param name="Where">A setting, <c>registry</c>, <c>policies</c>, ….</param>
/// <param name="Count">How many of it there are.</param>
/// <param name="Examples">The first of them, at most <see cref="MaxExamples"/>.</param>
/// <param name="Fix">A command or a setting.</param>
public sealed record Finding(string Id, PostureLevel Level, string What, string Where, long Count, IReadOnlyList<string> Examples, string Fix)
{
    public const int MaxExamples = 10;
}

/// <param name="SeenSince">Findings about what was seen (tokens, TLS, copies) cover the time since then: the start of the hub.</param>
/// <param name="Findings">The worst first.</param>
public sealed record PostureReport(DateTimeOffset Time, DateTimeOffset SeenSince, IReadOnlyList<Finding> Findings)
{
    /// <summary>Null when there is no finding.</summary>
    public PostureLevel? Worst => Findings.Count == 0 ? null : Findings.Max(finding => finding.Level);
}
