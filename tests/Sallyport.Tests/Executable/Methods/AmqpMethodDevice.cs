using System.Text;
using Sallyport.Client.Access;
using Sallyport.Client.Amqp;
using Sallyport.Protocol.Amqp.Endpoints;
using Sallyport.Protocol.Amqp.Messages;
using Sallyport.Protocol.Amqp.Performatives;
using Sallyport.Protocol.Identities;
using Sallyport.Up;

namespace Sallyport.Tests.Executable.Methods;

/// <summary>A device, or module, that speaks AMQP over TLS and takes direct methods only.</summary>
internal sealed class AmqpMethodDevice : IAsyncDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    private readonly CancellationTokenSource _stop = new();
    private readonly Func<string, string, (int Status, string Payload)?> _answer;
    private AmqpWire _wire = null!;
    private AmqpSession _session = null!;
    private Claims _claims = null!;
    private AmqpReceiver _requests = null!;
    private AmqpSender _responses = null!;
    private Task _run = Task.CompletedTask;

    private AmqpMethodDevice(Func<string, string, (int Status, string Payload)?> answer) => _answer = answer;

    /// <summary>Connects and attaches both links.</summary>
    /// <param name="answer">Of a name and a payload; null answers nothing.</param>
    /// <param name="credit">Requests that it takes.</param>
    public static async Task<AmqpMethodDevice> OpenAsync(EndpointsFile endpoints, Identity identity, string key, Func<string, string, (int Status, string Payload)?> answer, uint credit = 10)
    {
        var device = new AmqpMethodDevice(answer);
        var path = $"devices/{identity.DeviceId}{(identity.ModuleId is { } module ? $"/modules/{module}" : "")}";
        var tokens = new TokenSource($"localhost/{path}", key, null, TimeSpan.FromHours(1), TimeProvider.System);
        var target = new AmqpTarget("localhost", endpoints.AmqpsPort!.Value, "localhost", ServerTrust.Options("localhost", endpoints.CaFile), TimeSpan.FromMinutes(4), TimeProvider.System);
        device._wire = await AmqpWire.OpenAsync(target, 100, async (wire, cancel) =>
        {
            device._wire = wire;
            device._session = wire.Endpoint.BeginSession();
            while (!device._session.IsOpen)
                await wire.RoundAsync(device.OnStep, null, cancel);
            device._claims = new Claims(device._session, tokens, $"localhost/{path}", TimeProvider.System);
            device._claims.Put();
            while (!device._claims.IsAccepted)
                await wire.RoundAsync(device.OnStep, null, cancel);
            device._requests = device._session.AttachReceiver("requests", $"/{path}/methods/deviceBound", mode: SenderSettleMode.Settled);
            device._responses = device._session.AttachSender("responses", $"/{path}/methods/deviceBound", mode: SenderSettleMode.Settled);
            while (!device._requests.IsAttached || !device._responses.IsAttached || device._responses.Credit == 0)
                await wire.RoundAsync(device.OnStep, null, cancel);
            device._requests.Grant(credit);
        }, CancellationToken.None).WaitAsync(Patience);
        device._run = device.RunAsync();
        return device;
    }

    /// <summary>Cuts the connection. May be called twice.</summary>
    public async ValueTask DisposeAsync()
    {
        if (_stop.IsCancellationRequested)
            return;

        await _stop.CancelAsync();
        await _run.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await _wire.DisposeAsync();
    }

    private async Task RunAsync()
    {
        while (!_stop.IsCancellationRequested)
            await _wire.RoundAsync(OnStep, null, _stop.Token);
    }

    private void OnStep(AmqpStep step, in AmqpDelivery delivery)
    {
        if (step == AmqpStep.Credit)
            _claims?.Pump();
        else if (step is AmqpStep.Attached or AmqpStep.Delivery && _claims?.Has(_wire.Endpoint.Link) == true)
            _claims.On(step, delivery);
        else if (step == AmqpStep.Delivery && _wire.Endpoint.Link == _requests)
            Answer(delivery);
    }

    private void Answer(in AmqpDelivery delivery)
    {
        Assert.True(MethodMessages.TryReadRequest(delivery.Message, out var id, out var name, out var payload));
        if (_answer(name, Encoding.UTF8.GetString(payload)) is not { } answer)
            return;

        var response = MethodMessages.EncodeResponse(id, answer.Status, Encoding.UTF8.GetBytes(answer.Payload));
        Assert.Equal(AmqpSendResult.Sent, _responses.TrySend(default, response, Guid.NewGuid().ToByteArray(), 0, settled: true, null));
        _requests.TopUp();
    }
}
