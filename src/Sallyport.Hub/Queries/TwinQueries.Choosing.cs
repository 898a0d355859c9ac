using Sallyport.Hub.Access;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Queries;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Queries;

/// <summary>A device or module that a condition is true of.</summary>
/// <param name="ModuleId">Empty for a device.</param>
/// <param name="GenerationId">Of the identity as it was then: a namesake made since is another.</param>
internal sealed record ChosenTwin(string DeviceId, string ModuleId, string GenerationId);

/// <content>For those who act on all that a condition is true of: which they are, a page a call.</content>
public sealed partial class TwinQueries
{
    /// <summary>Whom a condition is true of now, in the order of their ids. Takes its turn among queries, and no more time than one.</summary>
    /// <param name="scope">Others are not chosen.</param>
    /// <param name="target">Read by <see cref="QueryParser.ParseTarget"/>.</param>
    /// <param name="after">Only those behind this one; empty ids from the first.</param>
    /// <param name="most">So many at most; fewer do not say that there are no more.</param>
    /// <returns>Them, and behind whom to go on; null when there are no more.</returns>
    /// <exception cref="HubException">429: its turn did not come.</exception>
    internal async ValueTask<(IReadOnlyList<ChosenTwin> Chosen, (string DeviceId, string ModuleId)? Next)> ChooseAsync(
        Scope scope, Query target, (string DeviceId, string ModuleId) after, int most, CancellationToken cancel)
    {
        using var turn = await _turns.TakeAsync(cancel).ConfigureAwait(false);
        var clock = new QueryClock(_limits, _time, cancel);
        var rows = new RowIdentities();
        var from = after.DeviceId.Length == 0 ? null : new QueryContinuation(after.DeviceId, after.ModuleId, null);
        var next = _metadata.Read(tx => new RowPage(target, rows, _metadata.Twins, ColumnsOf(target), tx, _fields, scope, _limits, clock).Read(from, most));
        return (rows.Chosen, next is null ? null : (next.After, next.ModuleId));
    }

    private sealed class RowIdentities : IPageRows
    {
        public List<ChosenTwin> Chosen { get; } = [];

        public int Rows => Chosen.Count;

        public int Bytes => 0;

        public bool NeedsIdentity => false;

        public bool Add(in TwinRow row)
        {
            Chosen.Add(new ChosenTwin(row.DeviceId, row.ModuleId ?? "", row.GenerationId));
            return true;
        }
    }
}
