namespace Sallyport.Hub.Telemetry;

/// <summary>Tells a reader that lasts when its consumer group is deleted; make it before looking where the reader begins. Owned by that reader.</summary>
public sealed class ConsumerGroupWatch : IDisposable
{
    private readonly ConsumerGroups _groups;
    private readonly string _group;
    private readonly CancellationTokenSource _source = new();

    public ConsumerGroupWatch(ConsumerGroups groups, string group)
    {
        (_groups, _group) = (groups, group);
        _groups.Deleted += Look;
        if (!groups.Exists(group)) // It may have been deleted between the check of the request and now.
            _source.Cancel();
    }

    /// <summary>Cancelled when the group is deleted; one that is made later under the same name is another one.</summary>
    public CancellationToken Deleted => _source.Token;

    public void Dispose()
    {
        _groups.Deleted -= Look;

        // Not disposed: a change under way may still cancel it, and it has no timer.
    }

    private void Look(string deleted)
    {
        if (string.Equals(deleted, _group, StringComparison.OrdinalIgnoreCase))
            _source.Cancel();
    }
}
