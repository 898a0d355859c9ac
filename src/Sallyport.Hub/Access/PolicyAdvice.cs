using System.Numerics;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Access;

/// <summary>What a policy or an operator was granted and did not use.</summary>
/// <param name="Name">Of an operator with <see cref="Policies.OperatorPrefix"/>.</param>
/// <param name="ObservedSince">Since when its use is known: when recording began, or when it was created.</param>
/// <param name="Unused">Rights it holds and did not use within the days asked for.</param>
/// <param name="Narrower">What is left; <see cref="Rights.None"/> when nothing was used at all.</param>
/// <param name="LastUsed">Of any right; null for never.</param>
public sealed record PolicyAdvice(string Name, Rights Granted, Rights Unused, Rights Narrower, DateTimeOffset ObservedSince, DateTimeOffset? LastUsed)
{
    /// <summary>What its rights are limited to; for being shown.</summary>
    public Scope Scope { get; init; } = Scope.Everything;

    /// <summary>Advice for everybody who holds something, in the order of their names.</summary>
    /// <param name="unusedFor">How long a right must not have been used.</param>
    public static IReadOnlyList<PolicyAdvice> For(Policies policies, IMetadata metadata, TimeSpan unusedFor, DateTimeOffset now)
    {
        var recordedSince = metadata.Read(metadata.Policies.UseRecordedSince);
        var uses = policies.Uses().ToDictionary(known => known.Name, known => known.Use, StringComparer.Ordinal);
        return [.. policies.List().Concat(policies.ListOperators()).Where(record => uses.ContainsKey(record.Name)).Select(record =>
        {
            var (granted, use) = ((Rights)record.Rights, uses[record.Name]);
            var each = Each(granted).ToList();
            var narrower = each.Where(right => use.LastUsed(right) > now - unusedFor).Aggregate(Rights.None, (all, right) => all | right);
            return new PolicyAdvice(
                record.Name, granted, granted & ~narrower, narrower, record.CreatedTime > recordedSince ? record.CreatedTime : recordedSince,
                each.Max(use.LastUsed)) { Scope = Scope.Of(record) };
        })];
    }

    private static IEnumerable<Rights> Each(Rights rights)
    {
        for (var left = (ulong)rights; left != 0; left &= left - 1)
            yield return (Rights)(1L << BitOperations.TrailingZeroCount(left));
    }
}
