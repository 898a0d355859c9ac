using System.Buffers;
using System.Globalization;
using System.IO.Pipelines;
using System.Net;
using Microsoft.AspNetCore.Connections;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Limits;
using Sallyport.Protocol.Errors;

namespace Sallyport.Heads.Connections;

/// <summary>Bounds what a connection uses from the accepted socket on, TLS included, until its peer is authenticated.</summary>
public static class PreAuthenticationConnections
{
    /// <summary>
    /// Put it before <c>UseHttps</c>. The <see cref="PreAuthenticationLease"/> is a feature of the connection: whoever authenticates
    /// the peer disposes it. Without a place, with too many bytes, or past the deadline the socket is closed, counted in
    /// <c>sallyport.limits.refused</c> and noted in the audit trail.
    /// </summary>
    /// <remarks>
    /// The deadline begins anew for who had to wait for its handshake's turn (<see cref="HandshakeGate"/>). The wait itself has no end of its
    /// own: it costs a place, a socket and 4 KB.
    /// </remarks>
    public static IConnectionBuilder UsePreAuthenticationLimits(
        this IConnectionBuilder builder, PreAuthenticationLimits limits, IAuditTrail audit, TimeProvider time) =>
        builder.Use(next => async connection =>
        {
            var lease = limits.TryEnter((connection.RemoteEndPoint as IPEndPoint)?.Address ?? IPAddress.None);
            if (lease is null)
            {
                CutOff(connection, audit, HubErrors.Throttled, "there are too many connections that have not authenticated");
                return;
            }

            connection.Features.Set(lease);
            var transport = connection.Transport;
            var deadline = limits.Options.HandshakeDeadline;
            var place = new HandshakePlace(limits.Handshakes);
            var timer = time.CreateTimer(_ =>
            {
                if (lease.IsOverdue())
                    CutOff(connection, audit, HubErrors.DeviceConnectionClosedRemotely, string.Create(CultureInfo.InvariantCulture, $"no authentication within {deadline.TotalSeconds:0} s"));
            }, null, deadline, Timeout.InfiniteTimeSpan);

            try
            {
                if (!await HasSpokenAsync(transport.Input).ConfigureAwait(false))
                    return;

                var turn = place.TakeAsync();
                if (!turn.IsCompleted)
                {
                    timer.Change(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
                    await turn.ConfigureAwait(false);
                    timer.Change(deadline, Timeout.InfiniteTimeSpan);
                }

                if (connection.ConnectionClosed.IsCancellationRequested)
                    return;

                connection.Transport = new CountedTransport(
                    new CountedReader(transport.Input, lease, place, () =>
                    {
                        lease.End(); // So that the deadline does not cut it off again.
                        CutOff(connection, audit, HubErrors.Throttled, "too many bytes before authentication");
                    }),
                    new WatchedWriter(transport.Output, place));
                await next(connection).ConfigureAwait(false);
            }
            finally
            {
                connection.Transport = transport;
                await timer.DisposeAsync().ConfigureAwait(false);
                place.GiveBack();
                lease.End();
            }
        });

    // Whoever says nothing needs no handshake.
    private static async ValueTask<bool> HasSpokenAsync(PipeReader input)
    {
        try
        {
            var first = await input.ReadAsync().ConfigureAwait(false);
            var hasSpoken = !first.Buffer.IsEmpty;
            input.AdvanceTo(first.Buffer.Start);
            return hasSpoken;
        }
        catch (Exception gone) when (gone is IOException or OperationCanceledException or InvalidOperationException)
        {
            return false;
        }
    }

    private static void CutOff(ConnectionContext connection, IAuditTrail audit, HubError error, string reason)
    {
        audit.Note(new AuditEntry("anonymous", "", "connection", "", "refused", $"{error.Code} {reason}", "", $"tcp {connection.RemoteEndPoint}"));
        connection.Abort(new ConnectionAbortedException(reason));
    }

    private sealed class CountedTransport(PipeReader input, PipeWriter output) : IDuplexPipe
    {
        public PipeReader Input { get; } = input;

        public PipeWriter Output { get; } = output;
    }

    /// <summary>Counts what is taken from the socket while the peer is unknown; afterwards reads cost one look at the lease.</summary>
    private sealed class CountedReader(PipeReader inner, PreAuthenticationLease lease, HandshakePlace place, Action cutOff) : PipeReader
    {
        // Of a read that began while bytes counted.
        private ReadOnlySequence<byte> _buffer;

        public override ValueTask<ReadResult> ReadAsync(CancellationToken cancellationToken = default) =>
            lease.IsCounting ? KeepAsync(inner.ReadAsync(cancellationToken)) : inner.ReadAsync(cancellationToken);

        public override bool TryRead(out ReadResult result)
        {
            if (!inner.TryRead(out result))
                return false;
            if (lease.IsCounting)
                _buffer = result.Buffer;
            return true;
        }

        public override void AdvanceTo(SequencePosition consumed) => AdvanceTo(consumed, consumed);

        public override void AdvanceTo(SequencePosition consumed, SequencePosition examined)
        {
            // What waits in the socket's buffer is bounded there. It must not count: it may be the body of a request that is about
            // to be let in, or to read that it is not.
            var isTooMuch = lease.IsCounting && !lease.TryTake((int)_buffer.Slice(0, consumed).Length);
            _buffer = default;
            inner.AdvanceTo(consumed, examined);
            if (isTooMuch)
                cutOff();
        }

        public override void CancelPendingRead() => inner.CancelPendingRead();

        public override void Complete(Exception? exception = null) => inner.Complete(exception);

        public override ValueTask CompleteAsync(Exception? exception = null) => inner.CompleteAsync(exception);

        private async ValueTask<ReadResult> KeepAsync(ValueTask<ReadResult> reading)
        {
            // Half a ClientHello: nothing is computed until the rest of it comes.
            if (!reading.IsCompleted)
                place.GiveBack();
            var read = await reading.ConfigureAwait(false);
            await place.TakeAsync().ConfigureAwait(false);
            _buffer = read.Buffer;
            return read;
        }
    }

    /// <summary>A connection's place in the gate: held while the server computes, until its first flight is out.</summary>
    private sealed class HandshakePlace(HandshakeGate gate)
    {
        private int _isHeld;
        private volatile bool _hadTurn;
        private volatile bool _isComputed;

        public async ValueTask TakeAsync()
        {
            if (_isComputed || Volatile.Read(ref _isHeld) == 1)
                return;

            await gate.EnterAsync(again: _hadTurn).ConfigureAwait(false);
            _hadTurn = true;
            Volatile.Write(ref _isHeld, 1);
        }

        public void GiveBack()
        {
            if (Volatile.Read(ref _isHeld) == 1 && Interlocked.Exchange(ref _isHeld, 0) == 1)
                gate.Leave();
        }

        public void Computed()
        {
            _isComputed = true;
            GiveBack();
        }
    }

    /// <summary>The first flight of the server leaves when key exchange and signature are computed: the processor is free for the next handshake.</summary>
    private sealed class WatchedWriter(PipeWriter inner, HandshakePlace place) : PipeWriter
    {
        public override bool CanGetUnflushedBytes => inner.CanGetUnflushedBytes;

        public override long UnflushedBytes => inner.UnflushedBytes;

        public override Memory<byte> GetMemory(int sizeHint = 0) => inner.GetMemory(sizeHint);

        public override Span<byte> GetSpan(int sizeHint = 0) => inner.GetSpan(sizeHint);

        public override void Advance(int bytes) => inner.Advance(bytes);

        public override ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default)
        {
            place.Computed();
            return inner.FlushAsync(cancellationToken);
        }

        public override ValueTask<FlushResult> WriteAsync(ReadOnlyMemory<byte> source, CancellationToken cancellationToken = default)
        {
            place.Computed();
            return inner.WriteAsync(source, cancellationToken);
        }

        public override void CancelPendingFlush() => inner.CancelPendingFlush();

        public override void Complete(Exception? exception = null) => inner.Complete(exception);

        public override ValueTask CompleteAsync(Exception? exception = null) => inner.CompleteAsync(exception);
    }
}
