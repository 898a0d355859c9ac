using Sallyport.Hub.Access;
using Sallyport.Protocol.Queries;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Configurations;

/// <summary>A configuration ready to be asked whether it reaches a twin. Immutable.</summary>
/// <param name="Bit">Of it, in a set of configurations.</param>
/// <param name="Target">Null: it reaches nothing.</param>
/// <param name="Slots">Of <paramref name="Target"/>'s slots, where their values are among those of all configurations.</param>
/// <param name="Scope">Of whoever wrote it; null while they may not do what it does: then it neither reaches another twin nor leaves one.</param>
internal sealed record ConfigurationInForce(ConfigurationRecord Record, ConfigurationContent Content, UInt128 Bit, Query? Target, int[] Slots, Scope? Scope)
{
    /// <summary>What writing a configuration, and its doing, needs.</summary>
    public const Rights Needed = Rights.ConfigurationManage | Rights.TwinRead | Rights.TwinWrite;

    public string Id => Record.Id;

    /// <summary>Stands in what a twin notes of a deployment: what is set by it does not change while it does.</summary>
    public long Number => Record.Number;

    /// <summary>What its writer reaches now, and no more than when it was written; null: they may not do it.</summary>
    public static Scope? ScopeOf(ConfigurationRecord record, Func<string, (Rights Rights, Scope Scope)> heldBy)
    {
        var held = heldBy(record.Writer);
        return (held.Rights & (Rights)record.WriterRights & Needed) == Needed ? held.Scope : null;
    }

    /// <param name="values">Of all configurations' slots.</param>
    public bool Admits(ReadOnlySpan<QueryValue> values)
    {
        if (Target is null)
            return false;
        if (Slots.Length == 0)
            return Target.Admits([]);

        var mine = new QueryValue[Slots.Length];
        for (var i = 0; i < mine.Length; i++)
            mine[i] = values[Slots[i]];
        return Target.Admits(mine);
    }
}
