using Microsoft.Extensions.Time.Testing;
using Sallyport.Hub.Limits;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;

namespace Sallyport.Tests.Hub.Limits;

public sealed class QuotasTests
{
    private static readonly QuotaOptions Small = new()
    {
        Burst = TimeSpan.FromSeconds(1),
        DeviceConnectionsPerSecond = 2,
        DeviceMessagesPerSecond = 10,
        DeviceBytesPerSecond = 1000,
        DeviceRegistryOperationsPerSecond = 3,
        MessagesPerSecond = 30,
        RegistryOperationsPerSecond = 5,
    };

    private readonly FakeTimeProvider _time = new();

    [Fact]
    public void Telemetry_BeyondTheBurst_WaitsUntilThereIsOneAgain()
    {
        var device = new Quotas(Small, _time).Of(Identity.Of("d1"));
        for (var i = 0; i < 10; i++)
            Assert.Equal(TimeSpan.Zero, device.TryTakeTelemetry(1, 1));

        Assert.Equal(TimeSpan.FromMilliseconds(100), device.TryTakeTelemetry(1, 1));

        _time.Advance(TimeSpan.FromMilliseconds(100));
        Assert.Equal(TimeSpan.Zero, device.TryTakeTelemetry(1, 1));
        Assert.NotEqual(TimeSpan.Zero, device.TryTakeTelemetry(1, 1));
    }

    [Fact]
    public void Telemetry_LargerThanTheBurst_IsTakenOnce_AndTheNextWaitsForIt()
    {
        var device = new Quotas(Small, _time).Of(Identity.Of("d1"));

        Assert.Equal(TimeSpan.Zero, device.TryTakeTelemetry(1, 5000));

        Assert.Equal(4, device.TryTakeTelemetry(1, 1).TotalSeconds, 0.01);
    }

    [Fact]
    public void Telemetry_OfAllDevices_IsBoundedToo()
    {
        var quotas = new Quotas(Small, _time);
        for (var i = 0; i < 3; i++)
            Assert.Equal(TimeSpan.Zero, quotas.Of(Identity.Of($"d{i}")).TryTakeTelemetry(10, 1));

        Assert.NotEqual(TimeSpan.Zero, quotas.Of(Identity.Of("d9")).TryTakeTelemetry(1, 1));
        Assert.Equal((1, 0.0), (quotas.Describe().Throttled, quotas.Describe().Levels[1].Left));
        Assert.Equal((0, 1.0), (quotas.Describe(Identity.Of("d9")).Throttled, quotas.Describe(Identity.Of("d9")).Levels[1].Left));
    }

    [Fact]
    public void Device_ThatComesBack_HasWhatItHadLeft()
    {
        var quotas = new Quotas(Small, _time);
        quotas.Of(Identity.Of("d1")).TryTakeTelemetry(10, 1);

        Assert.NotEqual(TimeSpan.Zero, quotas.Of(Identity.Of("d1")).TryTakeTelemetry(1, 1));
        Assert.Equal(TimeSpan.Zero, quotas.Of(Identity.Of("d1", "m1")).TryTakeTelemetry(1, 1));
    }

    [Fact]
    public void Table_WhenItIsFull_ForgetsTheHalfNotAskedForLately()
    {
        var quotas = new Quotas(Small with { MaxTracked = 4 }, _time);
        quotas.Of(Identity.Of("d1")).TryTakeTelemetry(10, 1);
        foreach (var id in (string[])["d2", "d3", "d4", "d5", "d6"])
            quotas.Of(Identity.Of(id));

        Assert.Equal(TimeSpan.Zero, quotas.Of(Identity.Of("d1")).TryTakeTelemetry(1, 1));
    }

    [Fact]
    public void RegistryOperations_BeyondTheLimit_AreThrottled_AndSayWhenToComeBack()
    {
        var quotas = new Quotas(Small, _time);
        for (var i = 0; i < 3; i++)
            quotas.TakeRegistryOperations("d1");

        var refused = Assert.Throws<HubException>(() => quotas.TakeRegistryOperations("d1"));
        Assert.Equal((HubErrors.Throttled, 334.0), (refused.Error, refused.RetryAfter!.Value.TotalMilliseconds));

        quotas.TakeRegistryOperations("d2", 2);
        Assert.Throws<HubException>(() => quotas.TakeRegistryOperations(null));
    }

    [Fact]
    public void NoLimit_IsNone()
    {
        var device = new Quotas(Small with { DeviceMessagesPerSecond = 0, DeviceBytesPerSecond = 0, MessagesPerSecond = 0, BytesPerSecond = 0 }, _time).Of(Identity.Of("d1"));

        for (var i = 0; i < 1000; i++)
            Assert.Equal(TimeSpan.Zero, device.TryTakeTelemetry(1_000_000, 1_000_000_000));
    }

    [Fact]
    public void Telemetry_InSteadyState_AllocatesNothing()
    {
        var device = new Quotas(new QuotaOptions(), _time).Of(Identity.Of("d1"));
        device.TryTakeTelemetry(1, 100);
        var before = GC.GetAllocatedBytesForCurrentThread();

        for (var i = 0; i < 1000; i++)
            device.TryTakeTelemetry(1, 100);

        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
    }
}
