using System.Buffers;
using System.IO.Pipelines;
using System.Net.Security;
using System.Net.Sockets;
using Sallyport.Protocol.Amqp;
using Sallyport.Protocol.Amqp.Endpoints;
using Sallyport.Protocol.Amqp.Performatives;

namespace Sallyport.Client.Amqp;

/// <summary>What has come; the delivery is set with <see cref="AmqpStep.Delivery"/>, and valid during the call.</summary>
internal delegate void AmqpStepHandler(AmqpStep step, in AmqpDelivery delivery);

/// <summary>Where a hub's AMQP is.</summary>
/// <param name="Address">Where to connect: a name or an IP address.</param>
/// <param name="HostName">What it is called in open.</param>
/// <param name="IdleTimeOut">Announced; a hub silent for twice as long is taken for dead.</param>
internal sealed record AmqpTarget(string Address, int Port, string HostName, SslClientAuthenticationOptions Tls, TimeSpan IdleTimeOut, TimeProvider Time);

/// <summary>
/// One AMQP connection over TLS: a thin driver of <see cref="AmqpConnection"/>. Owned by the one loop that calls <see cref="RoundAsync"/> and,
/// between rounds, the endpoint: not thread-safe.
/// </summary>
internal sealed class AmqpWire : IAsyncDisposable
{
    private static readonly TimeSpan ConnectTimeout = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan TickInterval = TimeSpan.FromSeconds(1);

    // What was sent must leave within it, and the hub answer close.
    private static readonly TimeSpan StallTimeout = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan CloseTimeout = TimeSpan.FromSeconds(5);

    private readonly SslStream _stream;
    private readonly PipeReader _input;
    private readonly ArrayBufferWriter<byte> _output = new();
    private readonly CancellationTokenSource _ended = new();
    private readonly PeriodicTimer _timer;
    private readonly TimeProvider _time;
    private Task<ReadResult>? _read;
    private Task? _tick;
    private long _heard;
    private long _said;

    private AmqpWire(SslStream stream, AmqpTarget target, int maxUnsettled)
    {
        _stream = stream;
        _input = PipeReader.Create(stream, new StreamPipeReaderOptions(leaveOpen: true));
        _time = target.Time;
        _timer = new PeriodicTimer(TickInterval, _time);
        _heard = _said = _time.GetTimestamp();
        Endpoint = new AmqpConnection(new AmqpOptions { IdleTimeOut = target.IdleTimeOut, MaxUnsettled = maxUnsettled }, isServer: false, _output);
    }

    public AmqpConnection Endpoint { get; }

    /// <summary>Opens TCP, TLS, SASL and AMQP, then lets the caller introduce itself, all within one bound of 30 s.</summary>
    /// <param name="maxUnsettled">Deliveries that may wait for an outcome.</param>
    /// <param name="introduce">Puts tokens and attaches links; throws when it is refused.</param>
    /// <exception cref="IOException">The hub was not reached, or did not answer in time.</exception>
    /// <exception cref="System.Security.Authentication.AuthenticationException">The hub did not prove who it is.</exception>
    public static async Task<AmqpWire> OpenAsync(AmqpTarget target, int maxUnsettled, Func<AmqpWire, CancellationToken, Task> introduce, CancellationToken stop)
    {
        using var bound = new CancellationTokenSource(ConnectTimeout, target.Time);
        using var both = CancellationTokenSource.CreateLinkedTokenSource(stop, bound.Token);
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        SslStream? stream = null;
        AmqpWire? wire = null;
        try
        {
            await socket.ConnectAsync(target.Address, target.Port, both.Token).ConfigureAwait(false);
            stream = new SslStream(new NetworkStream(socket, ownsSocket: true));
            await stream.AuthenticateAsClientAsync(target.Tls, both.Token).ConfigureAwait(false);
            wire = new AmqpWire(stream, target, maxUnsettled);
            await wire.HandshakeAsync(target.HostName, both.Token).ConfigureAwait(false);
            await introduce(wire, both.Token).ConfigureAwait(false);
            return wire;
        }
        catch (Exception e)
        {
            if (wire is not null)
                await wire.DisposeAsync().ConfigureAwait(false);
            else if (stream is not null)
                await stream.DisposeAsync().ConfigureAwait(false);
            socket.Dispose();
            if (e is OperationCanceledException && !stop.IsCancellationRequested)
                throw new IOException($"{target.Address}:{target.Port} did not answer within {ConnectTimeout.TotalSeconds:0} s", e);
            throw e is SocketException or InvalidOperationException and not ObjectDisposedException ? new IOException($"{target.Address}:{target.Port}: {e.Message}", e) : e;
        }
    }

    /// <summary>
    /// Sends what the endpoint has written, waits until something has come, a second has passed, or <paramref name="wake"/> has completed, and hands
    /// over what has come.
    /// </summary>
    /// <exception cref="IOException">The hub closed the connection, broke the protocol, or is dead.</exception>
    public async Task RoundAsync(AmqpStepHandler handle, Task? wake, CancellationToken cancel)
    {
        await FlushAsync(cancel).ConfigureAwait(false);
        _read ??= _input.ReadAsync(_ended.Token).AsTask();
        _tick ??= _timer.WaitForNextTickAsync(_ended.Token).AsTask();
        await (wake is null ? Task.WhenAny(_read, _tick) : Task.WhenAny(_read, _tick, wake)).WaitAsync(cancel).ConfigureAwait(false);

        if (_read.IsCompleted)
        {
            var result = await _read.ConfigureAwait(false);
            _read = null;
            await TakeAsync(result, handle, cancel).ConfigureAwait(false);
        }

        if (_tick.IsCompleted)
        {
            await _tick.ConfigureAwait(false);
            _tick = null;
            Tick();
        }
    }

    /// <summary>Closes with the protocol's close and waits for the hub's, at most 5 s.</summary>
    public async Task CloseAsync(CancellationToken cancel)
    {
        using var bound = new CancellationTokenSource(CloseTimeout, _time);
        using var both = CancellationTokenSource.CreateLinkedTokenSource(cancel, bound.Token);
        try
        {
            Endpoint.Close(null);
            while (!Endpoint.IsOver)
                await RoundAsync(static (AmqpStep _, in AmqpDelivery _) => { }, wake: null, both.Token).ConfigureAwait(false);
        }
        catch (Exception e) when (e is IOException or OperationCanceledException)
        {
            return; // All that mattered had been answered.
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _ended.CancelAsync().ConfigureAwait(false);
        if (_read is not null)
            await ((Task)_read).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (_tick is not null)
            await _tick.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _timer.Dispose();
        await _stream.DisposeAsync().ConfigureAwait(false);
        await _input.CompleteAsync().ConfigureAwait(false);
        Endpoint.ReleaseBuffers();
        _ended.Dispose();
    }

    // Tokens and not SASL say who it is: MSSBCBS and ANONYMOUS let everybody through to $cbs.
    private async Task HandshakeAsync(string hostName, CancellationToken cancel)
    {
        var isOpen = false;
        Endpoint.Start(new SaslInit("MSSBCBS", []), hostName);
        while (!isOpen)
            await RoundAsync(OnStep, wake: null, cancel).ConfigureAwait(false);

        void OnStep(AmqpStep step, in AmqpDelivery delivery)
        {
            if (step == AmqpStep.SaslOutcome && Endpoint.SaslOutcome != SaslCode.Ok)
                throw new IOException($"the hub refused SASL MSSBCBS (outcome {(int)Endpoint.SaslOutcome})");
            isOpen |= step == AmqpStep.Opened;
        }
    }

    private async ValueTask TakeAsync(ReadResult result, AmqpStepHandler handle, CancellationToken cancel)
    {
        _heard = _time.GetTimestamp();
        try
        {
            Take(result, handle);
        }
        catch (AmqpProtocolException broken)
        {
            Endpoint.Close(broken.Error);
            await FlushAsync(cancel).ConfigureAwait(false);
            throw new IOException($"the hub broke the protocol: {broken.Message}", broken);
        }
    }

    private void Take(ReadResult result, AmqpStepHandler handle)
    {
        var input = result.Buffer;
        var step = AmqpStep.Handled;
        try
        {
            while (step is not (AmqpStep.NeedMore or AmqpStep.Closed))
            {
                step = Endpoint.Next(ref input, out var delivery);
                if (step is not (AmqpStep.NeedMore or AmqpStep.Closed or AmqpStep.Handled))
                    handle(step, delivery);
            }
        }
        finally
        {
            Endpoint.ReleaseBuffers();
            _input.AdvanceTo(input.Start, result.Buffer.End);
        }

        if (step == AmqpStep.Closed)
            throw new IOException(Endpoint.PeerError is { } error ? $"the hub closed the connection: {error.Description} ({error.Condition})" : "the hub closed the connection");
        if (result.IsCompleted)
            throw new IOException("the hub ended the connection");
    }

    private void Tick()
    {
        if (_time.GetElapsedTime(_heard) >= Endpoint.Options.IdleTimeOut * 2)
            throw new IOException("the hub does not answer"); // [AMQP-2.4.5]
        if (Endpoint.RemoteIdleTimeOut > TimeSpan.Zero && _time.GetElapsedTime(_said) >= Endpoint.RemoteIdleTimeOut / 2)
            Endpoint.WriteHeartbeat(); // [AMQP-2.4.5]
    }

    private async ValueTask FlushAsync(CancellationToken cancel)
    {
        if (_output.WrittenCount == 0)
            return;

        var write = _stream.WriteAsync(_output.WrittenMemory, cancel);
        if (!write.IsCompletedSuccessfully)
            await WrittenAsync(write.AsTask(), cancel).ConfigureAwait(false);
        _output.ResetWrittenCount();
        _said = _time.GetTimestamp();
    }

    private async Task WrittenAsync(Task write, CancellationToken cancel)
    {
        try
        {
            await write.WaitAsync(StallTimeout, _time, cancel).ConfigureAwait(false);
        }
        catch (TimeoutException stalled)
        {
            throw new IOException("the hub does not read", stalled);
        }
    }
}
