using System.Text;
using Sallyport.Client.Device;
using Sallyport.Hub.Physical;
using Sallyport.Settings;

namespace Sallyport.Tests.Executable.Bounds;

/// <summary>Quarantine seen by a device over MQTT: nothing tells it.</summary>
public sealed class QuarantinedDeviceTests
{
    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Device_ThatDeclaresTampering_StaysConnected_AndOnlyTheQuarantineSeesIt()
    {
        await using var hub = await TestHub.StartAsync(settings => settings with
        {
            Physical = new PhysicalSettings { TamperProperties = [TamperProperty.TryParse("tamper=true")!] },
        });
        using var owner = hub.Owner();
        var key = (await owner.PutDeviceAsync("d1", cancel: Cancel))["authentication"]!["symmetricKey"]!["primaryKey"]!.GetValue<string>();
        await using var device = new DeviceClient(
            $"HostName=localhost;DeviceId=d1;SharedAccessKey={key}", new DeviceClientOptions { Port = hub.Endpoints.MqttsPort!.Value, CaFile = hub.Endpoints.CaFile });

        await device.SendAsync(Message("1"), Cancel);
        await device.SendAsync(Message("2") with { Properties = new Dictionary<string, string> { ["tamper"] = "true" } }, Cancel);
        await device.SendAsync(Message("3"), Cancel);

        var quarantine = (await owner.SendAsync(HttpMethod.Get, "manage/v1/devices/d1/quarantine", cancel: Cancel))!;
        var shown = await owner.GetDeviceAsync("d1", Cancel);
        Assert.Equal("rule:tamper", (string?)quarantine["placedBy"]);
        Assert.Equal("Connected", (string?)shown["connectionState"]);
        Assert.Null(shown["quarantine"]); // Azure's model of a device stays as it is.
        Assert.Equal(["1"], await BodiesAsync("events"));
        Assert.Equal(["2", "3"], await BodiesAsync("quarantine/events"));

        async Task<List<string>> BodiesAsync(string view)
        {
            var bodies = new List<string>();
            await foreach (var line in owner.StreamAsync($"manage/v1/{view}?from=earliest&follow=false", Cancel))
                bodies.Add(line["body"]!.ToJsonString());
            return bodies;
        }
    }

    private static TelemetryMessage Message(string payload) => new(Encoding.UTF8.GetBytes(payload));
}
