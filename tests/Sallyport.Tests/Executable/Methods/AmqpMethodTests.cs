using System.Net;
using System.Text.Json.Nodes;
using Sallyport.Client.Service;
using Sallyport.Protocol.Identities;

namespace Sallyport.Tests.Executable.Methods;

/// <summary>Direct methods from a service over HTTPS to a device over AMQP, through a whole hub.</summary>
public sealed class AmqpMethodTests : IAsyncLifetime
{
    private TestHub _hub = null!;
    private ServiceClient _owner = null!;
    private string _key = null!;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        _hub = await TestHub.StartAsync();
        _owner = _hub.Owner();
        _key = KeyOf(await _owner.PutDeviceAsync("d1", cancel: Cancel));
    }

    public async ValueTask DisposeAsync()
    {
        _owner.Dispose();
        await _hub.DisposeAsync();
    }

    [Fact]
    public async Task Method_IsAnswered_WhateverItCarries()
    {
        await using var device = await OpenAsync((name, payload) => (name.Length, payload));

        foreach (var payload in new[] { "null", "\"text\"", "{\"a\":[1,null]}", $"\"{new string('x', 100 * 1024)}\"" })
        {
            var answer = await _owner.InvokeMethodAsync("d1", null, "echo", JsonNode.Parse(payload), cancel: Cancel);
            Assert.Equal(4, (int?)answer["status"]);
            Assert.Equal(payload, answer["payload"]?.ToJsonString() ?? "null");
        }
    }

    [Fact]
    public async Task Method_OfAModule_IsItsOwn()
    {
        var key = KeyOf(await _owner.PutModuleAsync("d1", "m1", cancel: Cancel));
        await using var module = await AmqpMethodDevice.OpenAsync(_hub.Endpoints, Identity.Of("d1", "m1"), key, (_, _) => (200, "\"m1\""));

        Assert.Equal("m1", (string?)(await _owner.InvokeMethodAsync("d1", "m1", "which", cancel: Cancel))["payload"]);
        await RefusedAsync(HttpStatusCode.NotFound, "DeviceNotOnline", () => _owner.InvokeMethodAsync("d1", null, "which", cancel: Cancel));
    }

    [Fact]
    public async Task Method_BeyondTheDevicesCredit_Is404103_AndOneUnderWayEndsWithTheDevice()
    {
        var came = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var device = await OpenAsync(
            (_, _) =>
            {
                came.SetResult();
                return null;
            },
            credit: 1);
        var first = _owner.InvokeMethodAsync("d1", null, "hold", cancel: Cancel);
        await came.Task.WaitAsync(TimeSpan.FromSeconds(20), Cancel);

        await RefusedAsync(HttpStatusCode.NotFound, "DeviceNotOnline", () => _owner.InvokeMethodAsync("d1", null, "second", cancel: Cancel));

        await device.DisposeAsync();
        await RefusedAsync(HttpStatusCode.GatewayTimeout, "GatewayTimeout", () => first);
    }

    [Fact]
    public async Task Method_WhenTheDeviceIsOffline_WaitsForItAsLongAsAsked()
    {
        await RefusedAsync(HttpStatusCode.NotFound, "DeviceNotOnline", () => _owner.InvokeMethodAsync("d1", null, "any", cancel: Cancel));
        var call = _owner.InvokeMethodAsync("d1", null, "any", timeouts: new MethodTimeouts(TimeSpan.FromSeconds(30), TimeSpan.FromSeconds(60)), cancel: Cancel);

        await using var device = await OpenAsync((_, _) => (200, ""));

        var answer = await call;
        Assert.True(answer.ContainsKey("payload"));
        Assert.Null(answer["payload"]);
    }

    [Fact]
    public async Task Answer_ThatIsNoJson_Is502()
    {
        await using var device = await OpenAsync((_, _) => (200, "{"));

        await RefusedAsync(HttpStatusCode.BadGateway, "BadDeviceResponse", () => _owner.InvokeMethodAsync("d1", null, "any", cancel: Cancel));
    }

    private Task<AmqpMethodDevice> OpenAsync(Func<string, string, (int Status, string Payload)?> answer, uint credit = 10) =>
        AmqpMethodDevice.OpenAsync(_hub.Endpoints, Identity.Of("d1"), _key, answer, credit);

    private static string KeyOf(JsonObject identity) => identity["authentication"]!["symmetricKey"]!["primaryKey"]!.GetValue<string>();

    private static async Task RefusedAsync(HttpStatusCode status, string code, Func<Task> call)
    {
        var refusal = await Assert.ThrowsAsync<ServiceException>(call);
        Assert.Equal((status, code), (refusal.Status, refusal.ErrorCode));
    }
}
