using System.Text.Json.Nodes;
using Sallyport.Client.Device;

namespace Sallyport.Tests.Executable.Clients;

/// <summary>The model that a device names when it connects, as its digital twin shows it.</summary>
public sealed class ModelIdTests : IAsyncLifetime
{
    private TestHub _hub = null!;

    public async ValueTask InitializeAsync() => _hub = await TestHub.StartAsync();

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    [Theory]
    [InlineData(DeviceTransport.Mqtt)]
    [InlineData(DeviceTransport.Amqp)]
    public async Task Model_NamedAtConnect_IsInTheDigitalTwin(DeviceTransport transport)
    {
        const string Model = "dtmi:com:example:TemperatureController;1";
        using var owner = _hub.Owner();
        var key = (string)(await owner.PutDeviceAsync("d1", cancel: TestContext.Current.CancellationToken))["authentication"]!["symmetricKey"]!["primaryKey"]!;
        await using var device = new DeviceClient($"HostName=localhost;DeviceId=d1;SharedAccessKey={key}", new DeviceClientOptions
        {
            Transport = transport,
            Port = transport is DeviceTransport.Amqp ? _hub.Endpoints.AmqpsPort : _hub.Endpoints.MqttsPort,
            CaFile = _hub.Endpoints.CaFile,
            ModelId = Model,
        });
        await device.SendAsync(new TelemetryMessage("1"u8.ToArray()), TestContext.Current.CancellationToken);

        Assert.Equal(Model, (string?)(await owner.GetDigitalTwinAsync("d1", TestContext.Current.CancellationToken))["$metadata"]!["$model"]);

        await owner.UpdateDigitalTwinAsync("d1", [new JsonObject { ["op"] = "add", ["path"] = "/interval", ["value"] = 5 }], cancel: TestContext.Current.CancellationToken);
        Assert.Equal(5, (int?)(await owner.GetDigitalTwinAsync("d1", TestContext.Current.CancellationToken))["$metadata"]!["interval"]!["desiredValue"]);
    }
}
