using System.Text.Json;

namespace Sallyport.Hub.Audit;

/// <summary>Which entries somebody wants to see. A text is compared whole, or with <c>*</c> at its end as a beginning; null is any. Immutable.</summary>
/// <param name="Since">Not before this moment.</param>
/// <param name="Until">Before this moment.</param>
/// <param name="From">The first sequence number.</param>
/// <param name="To">The last sequence number.</param>
public sealed record AuditQuery(
    string? Principal = null, string? Action = null, string? Target = null, string? Result = null, DateTimeOffset? Since = null, DateTimeOffset? Until = null,
    long From = 1, long To = long.MaxValue)
{
    /// <summary>What was asked for, as the trail writes it.</summary>
    public override string ToString() => string.Join(' ', new[]
    {
        ("principal", Principal), ("action", Action), ("target", Target), ("result", Result), ("since", Since?.UtcDateTime.ToString("O")), ("until", Until?.UtcDateTime.ToString("O")),
        ("from", From == 1 ? null : $"{From}"), ("to", To == long.MaxValue ? null : $"{To}"),
    }.Where(part => part.Item2 is not null).Select(part => $"{part.Item1}={part.Item2}").DefaultIfEmpty("all"));

    internal bool Matches(JsonElement entry) =>
        Matches(Principal, entry, "principal") && Matches(Action, entry, "action") && Matches(Target, entry, "target") && Matches(Result, entry, "result")
        && entry.TryGetProperty("time", out var text) && text.TryGetDateTimeOffset(out var time)
        && !(time < Since) && !(time >= Until);

    private static bool Matches(string? wanted, JsonElement entry, string name)
    {
        if (wanted is null)
            return true;
        if (!entry.TryGetProperty(name, out var value) || value.ValueKind is not JsonValueKind.String)
            return false;

        var text = value.GetString()!;
        return wanted.EndsWith('*') ? text.StartsWith(wanted[..^1], StringComparison.Ordinal) : text == wanted;
    }
}

/// <param name="Entries">Newest first, as they are written, hash and signature included.</param>
/// <param name="Next">Give it as <see cref="AuditQuery.To"/> for the page after this one; null at the end.</param>
public sealed record AuditPage(IReadOnlyList<JsonElement> Entries, long? Next);
