namespace Sallyport.Up;

/// <summary>The hub cannot start; every reason is a sentence that says what to do.</summary>
internal sealed class CannotStartException(params IReadOnlyList<string> reasons) : Exception(string.Join(Environment.NewLine, reasons))
{
    public IReadOnlyList<string> Reasons { get; } = reasons;
}
