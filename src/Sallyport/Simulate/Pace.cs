namespace Sallyport.Simulate;

/// <summary>
/// Waits until a reading is due: as long after the first one as it was measured after it, divided by the speed. Measured from the
/// start, so that waits do not add up their errors. Used by one device.
/// </summary>
internal sealed class Pace(SimulationOptions options, TimeProvider time)
{
    private readonly long _start = time.GetTimestamp();
    private DateTimeOffset? _first;
    private long _count;

    /// <param name="measured">When the reading was taken; null when the data does not say.</param>
    public async Task WaitAsync(DateTimeOffset? measured, CancellationToken cancel)
    {
        var index = _count++;
        // This machine's readings come when they are due.
        if (options.Source == "host" || options.Speed == 0)
            return;

        _first ??= measured;
        var offset = measured is { } at ? at - _first!.Value : options.Interval * index;
        var left = (offset / options.Speed) - time.GetElapsedTime(_start);
        if (left > TimeSpan.Zero)
            await Task.Delay(left, time, cancel);
    }
}
