using System.Diagnostics.Metrics;

namespace Sallyport.Tests.Services.Connections;

/// <summary>Waits for what a connection's meter tells: a commit, or a failure.</summary>
internal sealed class CommitWatch : IDisposable
{
    private readonly MeterListener _listener = new();
    private readonly SemaphoreSlim _told = new(0);

    public CommitWatch(string connection)
    {
        _listener.InstrumentPublished = (instrument, listener) =>
        {
            if (instrument.Name is "sallyport.connections.commits" or "sallyport.connections.failures")
                listener.EnableMeasurementEvents(instrument);
        };
        _listener.SetMeasurementEventCallback<long>((_, _, tags, _) =>
        {
            if (tags.Length == 1 && Equals(tags[0].Value, connection))
                _told.Release();
        });
        _listener.Start();
    }

    /// <summary>Returns when it is so; asks again whenever the connection has committed or failed.</summary>
    public async Task UntilAsync(Func<bool> isSo)
    {
        while (!isSo())
            await _told.WaitAsync(TestContext.Current.CancellationToken);
    }

    public void Dispose() => _listener.Dispose();
}
