using System.Net.Security;
using System.Security.Authentication;
using System.Threading.Channels;
using Sallyport.Client.Access;
using Sallyport.Client.Amqp;
using Sallyport.Protocol.ConnectionStrings;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Mqtt;
using Sallyport.Protocol.Topics;

namespace Sallyport.Client.Device;

/// <summary>
/// A device or module that sends telemetry over MQTT or AMQP, and TLS. It connects with its first message, makes and renews its tokens,
/// and connects again by itself; a message that was not acknowledged is sent again, so the hub may get it twice. Thread-safe.
/// </summary>
public sealed class DeviceClient : IAsyncDisposable
{
    private const string ApiVersion = "2021-04-12";

    // Bounds how long disposal waits for acknowledgements.
    private static readonly TimeSpan LastWords = TimeSpan.FromSeconds(5);

    private readonly ConnectionString _address;
    private readonly DeviceClientOptions _options;
    private readonly Identity _identity;
    private readonly SslClientAuthenticationOptions _tls;
    private readonly TokenSource _tokens;
    private readonly string _audience;
    private readonly byte[] _topic;
    private readonly Channel<Outgoing> _outgoing;
    private readonly CancellationTokenSource _stop;
    private readonly Task _run;

    /// <param name="connectionString">Of a device or module: <c>HostName=…;DeviceId=…[;ModuleId=…];SharedAccessKey=…</c>.</param>
    /// <exception cref="FormatException">It is not a device's connection string.</exception>
    /// <exception cref="IOException">The CA file cannot be read.</exception>
    public DeviceClient(string connectionString, DeviceClientOptions? options = null)
    {
        _options = options ?? new DeviceClientOptions();
        _address = ConnectionString.Parse(connectionString);
        if (_address is not { DeviceId: { } deviceId, SharedAccessKey: { } key })
            throw new FormatException("the connection string is not of a device: it lacks DeviceId or SharedAccessKey");

        _identity = Identity.Of(deviceId, _address.ModuleId);
        _tls = ServerTrust.Options(_address.GatewayHostName ?? _address.HostName, _options.CaFile);
        var module = _identity.ModuleId is null ? "" : $"/modules/{_identity.ModuleId}";
        _audience = $"{_address.HostName}/devices/{deviceId}{module}";
        _tokens = new TokenSource(_audience, key, _address.SharedAccessKeyName, _options.TokenLifetime, _options.Time);
        _topic = new DeviceTopics(_identity).Telemetry.ToArray();
        _outgoing = Channel.CreateBounded<Outgoing>(new BoundedChannelOptions(_options.MaxInFlight) { SingleReader = true });
        _stop = new CancellationTokenSource(Timeout.InfiniteTimeSpan, _options.Time);
        _run = Task.Run(() => RunAsync(_stop.Token));
    }

    /// <summary><c>device</c> or <c>device/module</c>.</summary>
    public string Id => _identity.ToString();

    /// <summary>Sends a message and completes when the hub has it on disk. Waits while the hub is away.</summary>
    /// <param name="cancel">Gives up; the hub may get the message all the same.</param>
    /// <exception cref="ArgumentException">The message is larger than a hub takes.</exception>
    /// <exception cref="AmqpRefusedException">Over AMQP: the hub does not take the message; it says whether to try again. Over MQTT it closes the connection instead.</exception>
    /// <exception cref="DeviceRefusedException">The hub does not let the device in.</exception>
    /// <exception cref="AuthenticationException">The hub did not prove who it is.</exception>
    /// <exception cref="ObjectDisposedException">The client was disposed.</exception>
    public async Task SendAsync(TelemetryMessage message, CancellationToken cancel = default)
    {
        var one = new Outgoing(IsAmqp ? message.Sections() : message.Topic(_topic), message.Body, cancel);
        try
        {
            await _outgoing.Writer.WriteAsync(one, cancel).ConfigureAwait(false);
        }
        catch (ChannelClosedException)
        {
            throw new ObjectDisposedException(nameof(DeviceClient));
        }

        await one.Done.WaitAsync(cancel).ConfigureAwait(false);
    }

    /// <summary>Waits for what was sent if the hub is there, says goodbye, and fails what is left.</summary>
    public async ValueTask DisposeAsync()
    {
        _outgoing.Writer.TryComplete();
        _stop.CancelAfter(LastWords);
        await _run.ConfigureAwait(false);
        _stop.Dispose();
    }

    private async Task RunAsync(CancellationToken stop)
    {
        var unacknowledged = new LinkedList<Outgoing>();
        var backoff = new Backoff(_options.ReconnectMin, _options.ReconnectMax, _options.Time);
        try
        {
            while (unacknowledged.Count > 0 || await _outgoing.Reader.WaitToReadAsync(stop).ConfigureAwait(false))
            {
                await backoff.WaitAsync(stop).ConfigureAwait(false);
                try
                {
                    await (IsAmqp ? ConnectAndServeAmqpAsync(unacknowledged, backoff, stop) : ConnectAndServeAsync(unacknowledged, backoff, stop)).ConfigureAwait(false);
                }
                catch (Exception e) when (e is DeviceRefusedException or AuthenticationException)
                {
                    // Trying again would not help those who wait; the next message tries again.
                    FailAll(unacknowledged, e);
                    backoff.Failed();
                }
                catch (Exception e) when (e is IOException or MqttProtocolException)
                {
                    backoff.Failed();
                }
            }
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            // Disposed while the hub was away: what is left fails below.
        }
        finally
        {
            _outgoing.Writer.TryComplete();
            FailAll(unacknowledged, new ObjectDisposedException(nameof(DeviceClient)));
        }
    }

    private async Task ConnectAndServeAsync(LinkedList<Outgoing> unacknowledged, Backoff backoff, CancellationToken stop)
    {
        var token = _tokens.Current();
        var renewAt = _options.Time.GetTimestamp() + (long)(_tokens.UntilRenewal.TotalSeconds * _options.Time.TimestampFrequency);
        var connect = new MqttConnect(_identity.ToString(), CleanSession: false, (ushort)_options.KeepAlive.TotalSeconds, UserName(), token);
        var connection = await DeviceConnection.OpenAsync(
            _address.GatewayHostName ?? _address.HostName, _options.Port ?? 8883, _tls, connect, _options.MaxInFlight, _options.Time, stop).ConfigureAwait(false);
        await using var _ = connection.ConfigureAwait(false);
        backoff.Succeeded();
        await connection.ServeAsync(unacknowledged, _outgoing.Reader, renewAt, stop).ConfigureAwait(false);
    }

    private async Task ConnectAndServeAmqpAsync(LinkedList<Outgoing> unacknowledged, Backoff backoff, CancellationToken stop)
    {
        var target = new AmqpTarget(_address.GatewayHostName ?? _address.HostName, _options.Port ?? 5671, _address.HostName, _tls, _options.KeepAlive, _options.Time);
        var who = new AmqpDeviceIntroduction(_identity, _audience, _tokens, ApiVersion, _options.ModelId, _options.MaxInFlight);
        var connection = await AmqpDeviceConnection.OpenAsync(target, who, unacknowledged, stop).ConfigureAwait(false);
        await using var _ = connection.ConfigureAwait(false);
        backoff.Succeeded();
        await connection.ServeAsync(_outgoing.Reader, stop).ConfigureAwait(false);
    }

    private bool IsAmqp => _options.Transport == DeviceTransport.Amqp;

    private string UserName() =>
        $"{_address.HostName}/{_identity}/?api-version={ApiVersion}&DeviceClientType={Uri.EscapeDataString("Sallyport.Client/0.1")}"
        + (_options.ModelId is null ? "" : $"&model-id={Uri.EscapeDataString(_options.ModelId)}");

    private void FailAll(LinkedList<Outgoing> unacknowledged, Exception reason)
    {
        foreach (var one in unacknowledged)
            one.Fail(reason);
        unacknowledged.Clear();
        while (_outgoing.Reader.TryRead(out var one))
            one.Fail(reason);
    }
}
