using System.Buffers;
using System.IO.Pipelines;
using System.Net.Security;
using System.Net.Sockets;
using System.Threading.Channels;
using Sallyport.Protocol.Mqtt;

namespace Sallyport.Client.Device;

/// <summary>
/// One connection to the hub: a thin driver of <see cref="MqttClientSession"/>. Used by the one loop of <see cref="DeviceClient"/>.
/// </summary>
internal sealed class DeviceConnection : IAsyncDisposable
{
    private static readonly TimeSpan ConnectTimeout = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan TickInterval = TimeSpan.FromSeconds(1);

    private readonly SslStream _stream;
    private readonly PipeReader _input;
    private readonly ArrayBufferWriter<byte> _output = new();
    private readonly MqttClientSession _session;
    private readonly TimeProvider _time;
    private readonly Dictionary<ushort, Outgoing> _inFlight = [];

    private DeviceConnection(SslStream stream, MqttClientSession session, TimeProvider time)
    {
        _stream = stream;
        _input = PipeReader.Create(stream, new StreamPipeReaderOptions(leaveOpen: true));
        _session = session;
        _time = time;
    }

    /// <summary>Opens TCP, TLS and MQTT.</summary>
    /// <exception cref="DeviceRefusedException">The hub said no.</exception>
    /// <exception cref="IOException">The hub was not reached, did not prove who it is, or did not answer in time.</exception>
    public static async Task<DeviceConnection> OpenAsync(
        string host, int port, SslClientAuthenticationOptions tls, MqttConnect connect, int maxInFlight, TimeProvider time, CancellationToken stop)
    {
        using var bound = new CancellationTokenSource(ConnectTimeout, time);
        using var both = CancellationTokenSource.CreateLinkedTokenSource(stop, bound.Token);
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        SslStream? stream = null;
        try
        {
            await socket.ConnectAsync(host, port, both.Token).ConfigureAwait(false);
            stream = new SslStream(new NetworkStream(socket, ownsSocket: true));
            await stream.AuthenticateAsClientAsync(tls, both.Token).ConfigureAwait(false);
            var connection = new DeviceConnection(stream, new MqttClientSession(new MqttClientOptions(maxInFlight)), time);
            await connection.ConnectAsync(connect, both.Token).ConfigureAwait(false);
            return connection;
        }
        catch (Exception e)
        {
            if (stream is not null)
                await stream.DisposeAsync().ConfigureAwait(false);
            socket.Dispose();
            if (e is OperationCanceledException && !stop.IsCancellationRequested)
                throw new IOException($"{host}:{port} did not answer within {ConnectTimeout.TotalSeconds:0} s", e);
            throw e is SocketException ? new IOException($"{host}:{port}: {e.Message}", e) : e;
        }
    }

    /// <summary>
    /// Sends and takes acknowledgements until the token must be renewed or nothing more is to be sent; says goodbye then.
    /// </summary>
    /// <param name="unacknowledged">In the order of sending; those of an earlier connection are sent again first. [MQTT-4.4.0-1]</param>
    /// <param name="renewAt">When to end, once all is acknowledged; in the clock's timestamps.</param>
    /// <exception cref="IOException">The connection broke.</exception>
    /// <exception cref="MqttProtocolException">The hub broke the protocol.</exception>
    public async Task ServeAsync(LinkedList<Outgoing> unacknowledged, ChannelReader<Outgoing> outgoing, long renewAt, CancellationToken stop)
    {
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(stop);
        using var timer = new PeriodicTimer(TickInterval, _time);
        var again = new Queue<Outgoing>(unacknowledged);
        Task<ReadResult>? read = null;
        Task<bool>? more = null;
        Task? tick = null;
        try
        {
            while (true)
            {
                var renewing = _time.GetTimestamp() >= renewAt;
                if (!renewing)
                    Send(again, outgoing, unacknowledged);
                var isOver = more is { IsCompletedSuccessfully: true, Result: false };
                if ((renewing || isOver) && _session.InFlight == 0)
                {
                    _session.Disconnect(_output);
                    await FlushAsync(ended.Token).ConfigureAwait(false);
                    return;
                }

                await FlushAsync(ended.Token).ConfigureAwait(false);
                read ??= _input.ReadAsync(ended.Token).AsTask();
                tick ??= timer.WaitForNextTickAsync(ended.Token).AsTask();
                if (!isOver && more is null or { IsCompleted: true })
                    more = outgoing.WaitToReadAsync(ended.Token).AsTask();
                await (renewing || isOver || !_session.HasRoom ? Task.WhenAny(read, tick) : Task.WhenAny(read, tick, more!)).ConfigureAwait(false);

                if (read.IsCompleted)
                {
                    Take(await read.ConfigureAwait(false), unacknowledged);
                    read = null;
                }

                if (tick.IsCompleted)
                {
                    await tick.ConfigureAwait(false);
                    tick = null;
                    if (!_session.Tick(_output, NowMs))
                        throw new IOException("the hub does not answer");
                }
            }
        }
        finally
        {
            await ended.CancelAsync().ConfigureAwait(false);
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _stream.DisposeAsync().ConfigureAwait(false);
        await _input.CompleteAsync().ConfigureAwait(false);
    }

    private long NowMs => (long)_time.GetElapsedTime(0).TotalMilliseconds;

    private async Task ConnectAsync(MqttConnect connect, CancellationToken cancel)
    {
        _session.Connect(_output, connect, NowMs);
        await FlushAsync(cancel).ConfigureAwait(false);
        while (true)
        {
            var result = await _input.ReadAsync(cancel).ConfigureAwait(false);
            var input = result.Buffer;
            var found = _session.Read(ref input, _output, NowMs, out var packet);
            _input.AdvanceTo(input.Start, result.Buffer.End);
            if (found == MqttClientEvent.Connected)
                return;
            if (found == MqttClientEvent.Refused)
                throw Refusal(packet.ConnectCode);
            if (result.IsCompleted)
                throw new IOException("the hub closed the connection before it answered CONNECT");
        }
    }

    private static Exception Refusal(MqttConnectCode code) => code == MqttConnectCode.ServerUnavailable
        ? new IOException("the hub is not available now")
        : new DeviceRefusedException($"the hub refused the device (CONNACK {(int)code}): it does not exist, is disabled, or has another key");

    private void Send(Queue<Outgoing> again, ChannelReader<Outgoing> outgoing, LinkedList<Outgoing> unacknowledged)
    {
        while (_session.HasRoom)
        {
            if (again.TryDequeue(out var one))
            {
                if (one.IsGivenUp)
                {
                    unacknowledged.Remove(one);
                    continue;
                }
            }
            else if (outgoing.TryRead(out one))
            {
                if (one.IsGivenUp)
                    continue;
                unacknowledged.AddLast(one);
            }
            else
            {
                return;
            }

            _session.TryPublish(_output, one.Head, one.Body.Span, qos: 1, NowMs, out var packetId, sentAs: one.PacketId);
            one.PacketId = packetId;
            _inFlight.Add(packetId, one);
        }
    }

    private void Take(ReadResult result, LinkedList<Outgoing> unacknowledged)
    {
        var input = result.Buffer;
        MqttClientEvent found;
        while ((found = _session.Read(ref input, _output, NowMs, out var packet)) != MqttClientEvent.NeedMore)
        {
            if (found != MqttClientEvent.Acknowledged || !_inFlight.Remove(packet.PacketId, out var one))
                continue;

            // Acknowledged in the order of sending [MQTT-4.6.0-2]: nearly always the first.
            unacknowledged.Remove(one);
            one.Acknowledge();
        }

        _input.AdvanceTo(input.Start, result.Buffer.End);
        if (result.IsCompleted)
            throw new IOException("the hub closed the connection");
    }

    private async Task FlushAsync(CancellationToken cancel)
    {
        if (_output.WrittenCount == 0)
            return;

        await _stream.WriteAsync(_output.WrittenMemory, cancel).ConfigureAwait(false);
        _output.ResetWrittenCount();
    }
}
