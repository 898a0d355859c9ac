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
    /// The deadline begins anew for who had to wait for its handshake's turn (<see cref="HandshakeThreads"/>). The wait itself has no end of its
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
            var handshakes = limits.Handshakes;
            var timer = time.CreateTimer(_ =>
            {
                if (lease.IsOverdue())
                    CutOff(connection, audit, HubErrors.DeviceConnectionClosedRemotely, string.Create(CultureInfo.InvariantCulture, $"no authentication within {deadline.TotalSeconds:0} s"));
            }, null, deadline, Timeout.InfiniteTimeSpan);

            try
            {
                if (!await HasSpokenAsync(transport.Input).ConfigureAwait(false))
                    return;

                var hasToWait = handshakes.AreBusy;
                if (hasToWait)
                    timer.Change(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
                await handshakes.Turn();
                if (hasToWait)
                    timer.Change(deadline, Timeout.InfiniteTimeSpan);

                if (connection.ConnectionClosed.IsCancellationRequested)
                    return;

                connection.Transport = new CountedTransport(
                    new CountedReader(transport.Input, lease, handshakes, () =>
                    {
                        lease.End(); // So that the deadline does not cut it off again.
                        CutOff(connection, audit, HubErrors.Throttled, "too many bytes before authentication");
                    }),
                    transport.Output);
                await next(connection).ConfigureAwait(false);
            }
            finally
            {
                connection.Transport = transport;
                await timer.DisposeAsync().ConfigureAwait(false);
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

    /// <summary>
    /// Counts what is taken from the socket while the peer is unknown, and hands it over on the handshakes' threads; afterwards reads cost one
    /// look at the lease.
    /// </summary>
    private sealed class CountedReader(PipeReader inner, PreAuthenticationLease lease, HandshakeThreads handshakes, Action cutOff) : PipeReader
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
            var read = await reading.ConfigureAwait(false);
            if (!handshakes.IsCurrent)
                await handshakes.Turn(again: true);
            _buffer = read.Buffer;
            return read;
        }
    }
}
