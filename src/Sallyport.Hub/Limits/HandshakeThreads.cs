namespace Sallyport.Hub.Limits;

/// <summary>
/// Lets only so many connections compute their TLS handshake at a time, the others wait in the order in which they came: 10,000
/// devices that come back at once are let in at the rate of the processors it may use, and connected ones find the others idle.
/// A place is held while the server's part is computed, not while the peer's bytes are on their way: who is slow holds nobody up, and goes
/// on before those that wait for their first turn. Thread-safe.
/// </summary>
/// <param name="places">Handshakes computed at a time; at least 1.</param>
public sealed class HandshakeGate(int places)
{
    private readonly Lock _gate = new();
    private readonly Queue<TaskCompletionSource> _waiting = new();
    private readonly Queue<TaskCompletionSource> _returning = new();
    private int _free = places;

    /// <summary>Half of the processors, at least one: a handshake is computing and nothing else (about 1 ms), so more at a time would only take turns.</summary>
    public static int DefaultPlaces => Math.Max(1, Environment.ProcessorCount / 2);

    public int Places { get; } = places;

    /// <summary>Connections that wait now. Bounded by <see cref="ConnectionLimitsOptions.MaxConnections"/>: each holds a place there.</summary>
    public int Waiting
    {
        get
        {
            lock (_gate)
                return _waiting.Count + _returning.Count;
        }
    }

    /// <summary>Completes when it is this connection's turn. <see cref="Leave"/> gives the place back.</summary>
    /// <param name="again">It had its turn, and gave it back because its peer's message was not whole yet.</param>
    public Task EnterAsync(bool again = false)
    {
        lock (_gate)
        {
            if (_free > 0)
            {
                _free--;
                return Task.CompletedTask;
            }

            var turn = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            (again ? _returning : _waiting).Enqueue(turn);
            LimitsMeter.HandshakeWaits(1);
            return turn.Task;
        }
    }

    public void Leave()
    {
        TaskCompletionSource? next;
        lock (_gate)
        {
            if (!_returning.TryDequeue(out next) && !_waiting.TryDequeue(out next))
            {
                _free++;
                return;
            }
        }

        LimitsMeter.HandshakeWaits(-1);
        next.SetResult();
    }
}
