using System.Net;
using System.Text;
using Sallyport.Hub.Access;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Devices;
using Sallyport.Hub.Methods;
using Sallyport.Hub.Physical;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Storage.Metadata;
using Sallyport.Tests.Hub.Registry;

namespace Sallyport.Tests.Hub.Methods;

public sealed class DirectMethodsTests : IAsyncLifetime
{
    private static readonly Identity D1 = Identity.Of("d1");

    private readonly QuarantineLine _line = new();
    private RegistryFixture _hub = null!;
    private DirectMethods _methods = null!;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        _hub = await RegistryFixture.OpenAsync();
        await _hub.CreateAsync("d1");
        await _hub.CreateAsync("d1", "m1");
        _methods = New(new MethodOptions());
    }

    public async ValueTask DisposeAsync()
    {
        _methods.Dispose();
        await _hub.DisposeAsync();
    }

    [Theory]
    [InlineData("null", "null")]
    [InlineData("\"on\"", "\"off\"")]
    [InlineData("{ \"a\" : 1.0e2 }", "{\"b\":[1, 2.50]}")]
    [InlineData("1", "")]
    public async Task Invoke_PassesPayloadsByteForByte(string payload, string answer)
    {
        var link = Attach();

        var call = InvokeAsync(payload: payload);
        var request = link.Sent.Single();
        Answer(request, 207, answer);

        var result = await call;
        Assert.Equal("reboot", request.Name);
        Assert.Equal(payload, Encoding.UTF8.GetString(request.Payload.Span));
        Assert.Equal(207, result.Status);
        Assert.Equal(answer.Length == 0 ? "null" : answer, Encoding.UTF8.GetString(result.Payload.Span));
        Assert.Equal(0, _methods.Pending);
    }

    [Fact]
    public async Task Invoke_Twice_AnswersEachByItsOwnId()
    {
        var link = Attach();
        var (first, second) = (InvokeAsync(), InvokeAsync());

        Answer(link.Sent[1], 2);
        Answer(link.Sent[0], 1);

        Assert.Equal((1, 2), ((await first).Status, (await second).Status));
    }

    [Fact]
    public async Task Invoke_NotConnected_Is404103_AtOnce()
    {
        await RefusedAsync(HubErrors.DeviceNotOnline, InvokeAsync());
        Assert.Equal(0, _methods.Pending);
    }

    [Fact]
    public async Task Invoke_NotSubscribed_Is404103()
    {
        Attach(takes: false);

        await RefusedAsync(HubErrors.DeviceNotOnline, InvokeAsync());
    }

    [Fact]
    public async Task Invoke_WithConnectTimeout_WaitsForTheDeviceToTakeMethods()
    {
        var call = InvokeAsync(connect: 10);
        _hub.Time.Advance(TimeSpan.FromSeconds(9));
        var link = Attach(takes: false);
        Assert.Empty(link.Sent);

        link.TakesMethods = true;
        _hub.Connected.TellChanged(link);
        Answer(await link.FirstAsync(), 200);

        Assert.Equal(200, (await call).Status);
    }

    [Fact]
    public async Task Invoke_WithConnectTimeout_EndsWith404103_WhenItIsOver()
    {
        var call = InvokeAsync(connect: 10);
        Assert.False(call.IsCompleted);

        _hub.Time.Advance(TimeSpan.FromSeconds(10));

        await RefusedAsync(HubErrors.DeviceNotOnline, call);
    }

    [Fact]
    public async Task Invoke_NotAnswered_Is504101_AfterTheResponseTimeout()
    {
        var link = Attach();
        var call = InvokeAsync(response: 5);
        _hub.Time.Advance(TimeSpan.FromSeconds(4.9));
        Assert.False(call.IsCompleted);

        _hub.Time.Advance(TimeSpan.FromSeconds(0.1));
        await RefusedAsync(HubErrors.GatewayTimeout, call);

        Answer(link.Sent[0], 200); // Late: nobody waits, nothing happens.
        Assert.Equal(0, _methods.Pending);
    }

    [Fact]
    public async Task Invoke_WhenTheDeviceGoes_Is504101_AtOnce()
    {
        var link = Attach();
        var call = InvokeAsync();

        _hub.Connected.Detach(link);

        await RefusedAsync(HubErrors.GatewayTimeout, call);
    }

    [Fact]
    public async Task Invoke_WhenTheDeviceIsTakenOver_Is504101_AtOnce_AndTheNewerIsAskedNothing()
    {
        Attach();
        var call = InvokeAsync();

        var newer = Attach();

        await RefusedAsync(HubErrors.GatewayTimeout, call);
        Assert.Empty(newer.Sent);
    }

    [Fact]
    public async Task Invoke_OfADeviceThatDoesNotRead_IsThrottled()
    {
        Attach().IsFull = true;

        await RefusedAsync(HubErrors.Throttled, InvokeAsync(connect: 10));
    }

    [Fact]
    public async Task Invoke_OfADeviceInQuarantine_SendsNothing_AlsoWhenItComesWhileWaitedFor()
    {
        var waiting = InvokeAsync(connect: 10);
        _line.Hold(new QuarantineRecord("d1", _hub.Time.GetUtcNow(), "test", ""));
        var link = Attach();

        await RefusedAsync(HubErrors.DeviceNotOnline, waiting);
        await RefusedAsync(HubErrors.DeviceNotOnline, InvokeAsync());
        Assert.Empty(link.Sent);
    }

    [Fact]
    public async Task Invoke_OfNobody_IsNotFound()
    {
        await RefusedAsync(HubErrors.DeviceNotFound, InvokeAsync(Identity.Of("d9")));
        await RefusedAsync(HubErrors.ModuleNotFound, InvokeAsync(Identity.Of("d1", "m9")));
    }

    [Fact]
    public async Task Answer_OfAnotherIdentity_IsDropped()
    {
        var link = Attach();
        var call = InvokeAsync();

        _methods.Answer(Identity.Of("d1", "m1"), Encoding.UTF8.GetBytes(link.Sent[0].Id.ToString("N")), 200, "1"u8);
        _methods.Answer(D1, "nonsense"u8, 200, "1"u8);
        _methods.Answer(D1, Encoding.UTF8.GetBytes(Guid.NewGuid().ToString("D")), 200, "1"u8);
        Assert.False(call.IsCompleted);

        _methods.Answer(D1, Encoding.UTF8.GetBytes(link.Sent[0].Id.ToString("D")), 201, "2"u8);
        Assert.Equal(201, (await call).Status);
    }

    [Theory]
    [InlineData("{\"a\":", 200)]
    [InlineData("1 2", 200)]
    [InlineData("hello", 200)]
    [InlineData("\"\u00ff\"", null)]
    public async Task Answer_ThatIsNone_Is502(string payload, int? status)
    {
        var link = Attach();
        var call = InvokeAsync();

        _methods.Answer(D1, Encoding.UTF8.GetBytes(link.Sent[0].Id.ToString("N")), status, Encoding.UTF8.GetBytes(payload));

        await RefusedAsync(HubErrors.BadDeviceResponse, call);
    }

    [Fact]
    public async Task Payloads_AtTheirBound_Pass_AndBeyondItAreRefused()
    {
        var largest = $"\"{new string('x', MethodRules.MaxPayloadBytes - 2)}\"";
        var link = Attach();
        var call = InvokeAsync(payload: largest);
        Answer(link.Sent[0], 200, largest);
        Assert.Equal(MethodRules.MaxPayloadBytes, (await call).Payload.Length);

        await RefusedAsync(HubErrors.MessageTooLarge, InvokeAsync(payload: largest[..1] + "x" + largest[1..]));
        var other = InvokeAsync();
        Answer(link.Sent[1], 200, largest[..1] + "x" + largest[1..]);
        await RefusedAsync(HubErrors.BadDeviceResponse, other);
    }

    [Theory]
    [InlineData("")]
    [InlineData("a/b")]
    [InlineData("a?b")]
    [InlineData("a#")]
    [InlineData("+")]
    [InlineData("a\nb")]
    public async Task Name_ThatIsNone_IsRefused(string name) =>
        await RefusedAsync(HubErrors.ArgumentInvalid, _methods.InvokeAsync(RegistryFixture.Owner, new MethodCall(D1, name, "1"u8.ToArray()), Cancel));

    [Theory]
    [InlineData(4, 0)]
    [InlineData(301, 0)]
    [InlineData(30, -1)]
    [InlineData(30, 301)]
    public async Task Timeouts_OutOfBounds_AreRefused(int response, int connect) =>
        await RefusedAsync(HubErrors.ArgumentInvalid, InvokeAsync(response: response, connect: connect));

    [Theory]
    [InlineData("")]
    [InlineData("{")]
    [InlineData("\u0001")]
    public async Task Payload_ThatIsNoJson_IsRefused(string payload) =>
        await RefusedAsync(HubErrors.FormatError, InvokeAsync(payload: payload));

    [Fact]
    public async Task Calls_BeyondABound_AreThrottled_AndTheNextPassesWhenOneIsDone()
    {
        _methods.Dispose();
        _methods = New(new MethodOptions { MaxPendingPerDevice = 2, MaxPending = 3, MaxPendingBytes = 100 });
        var link = Attach();
        var module = Attach(Identity.Of("d1", "m1"));
        var first = InvokeAsync();
        _ = InvokeAsync();

        await RefusedAsync(HubErrors.Throttled, InvokeAsync()); // of the device
        await RefusedAsync(HubErrors.Throttled, InvokeAsync(Identity.Of("d1", "m1"), payload: $"\"{new string('x', 100)}\"")); // bytes
        _ = InvokeAsync(Identity.Of("d1", "m1"));
        await RefusedAsync(HubErrors.Throttled, InvokeAsync(Identity.Of("d1", "m1"))); // of all

        Answer(link.Sent[0], 200);
        await first;
        var next = InvokeAsync();
        Answer(link.Sent[2], 204);
        Assert.Equal(204, (await next).Status);
        Assert.Single(module.Sent);
    }

    [Fact]
    public async Task Invoke_IsRecordedBeforeAnythingIsSent_AndRefusedWhenItCannotBe()
    {
        var link = Attach();
        _hub.Audit.IsBroken = true;

        await RefusedAsync(HubErrors.ServiceUnavailable, InvokeAsync());
        Assert.Empty(link.Sent);

        _hub.Audit.IsBroken = false;
        _ = InvokeAsync();
        Assert.Contains(_hub.Audit.Entries, entry => entry is { Action: "method invoke", Target: "d1 reboot", Result: "done", Principal: "policy:iothubowner" });
        Assert.Single(link.Sent);
    }

    [Fact]
    public async Task Invoke_Cancelled_LeavesNothingBehind()
    {
        Attach();
        using var gone = new CancellationTokenSource();
        var call = _methods.InvokeAsync(RegistryFixture.Owner, new MethodCall(D1, "reboot", "1"u8.ToArray()), gone.Token);

        await gone.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => call);
        Assert.Equal(0, _methods.Pending);
    }

    private DirectMethods New(MethodOptions options) =>
        new(_hub.Connected, _hub.Cache, _line, new PrivilegedReads(_hub.Audit, _hub.Time), _hub.Time, options);

    private Task<MethodResult> InvokeAsync(Identity? identity = null, string payload = "null", int response = 30, int connect = 0) => _methods.InvokeAsync(
        RegistryFixture.Owner,
        new MethodCall(identity ?? D1, "reboot", Encoding.UTF8.GetBytes(payload)) { ResponseTimeout = TimeSpan.FromSeconds(response), ConnectTimeout = TimeSpan.FromSeconds(connect) },
        Cancel);

    private void Answer(MethodRequest request, int status, string payload = "null") =>
        _methods.Answer(D1, Encoding.UTF8.GetBytes(request.Id.ToString("N")), status, Encoding.UTF8.GetBytes(payload));

    private MethodLink Attach(Identity? identity = null, bool takes = true)
    {
        var link = new MethodLink(identity ?? D1) { TakesMethods = takes };
        _hub.Connected.Attach(link);
        _hub.Connected.TellChanged(link);
        return link;
    }

    private static async Task RefusedAsync(HubError error, Task call) =>
        Assert.Same(error, (await Assert.ThrowsAsync<HubException>(() => call)).Error);
}

/// <summary>A device's link that keeps what it is sent.</summary>
internal sealed class MethodLink(Identity identity) : IDeviceLink
{
    private readonly TaskCompletionSource<MethodRequest> _first = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public Identity Identity { get; } = identity;

    public Peer Peer { get; } = new(new IPEndPoint(IPAddress.Loopback, 9), "mqtt");

    public Principal Principal { get; } = new(PrincipalKind.Device, identity.ToString(), Rights.DeviceConnect, DateTimeOffset.MaxValue, "{}", "");

    public List<MethodRequest> Sent { get; } = [];

    public bool TakesMethods { get; set; } = true;

    public bool IsFull { get; set; }

    public Task<MethodRequest> FirstAsync() => _first.Task.WaitAsync(TimeSpan.FromSeconds(20));

    public bool TrySend(MethodRequest request)
    {
        if (!TakesMethods || IsFull)
            return false;

        Sent.Add(request);
        _first.TrySetResult(request);
        return true;
    }

    public void Close(HubError error, string reason)
    {
    }
}
