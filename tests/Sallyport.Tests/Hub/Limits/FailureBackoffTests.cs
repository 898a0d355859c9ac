using System.Net;
using Microsoft.Extensions.Time.Testing;
using Sallyport.Hub.Limits;
using Sallyport.Protocol.Identities;

namespace Sallyport.Tests.Hub.Limits;

public sealed class FailureBackoffTests
{
    private static readonly IPAddress A = IPAddress.Parse("192.0.2.1");
    private static readonly IPAddress B = IPAddress.Parse("192.0.2.2");
    private static readonly Identity D1 = Identity.Of("d1");

    private readonly FakeTimeProvider _time = new();
    private readonly FailureBackoff _backoff;

    public FailureBackoffTests() => _backoff = new FailureBackoff(new BackoffOptions(), _time);

    [Fact]
    public void Address_ThatFailsForASecond_IsRefused_AndOthersAreNot()
    {
        Fail(A, 20);
        Assert.False(_backoff.IsRefused(A)); // Its first second.

        _time.Advance(TimeSpan.FromSeconds(1));
        Fail(A, 1);

        Assert.True(_backoff.IsRefused(A));
        Assert.False(_backoff.IsRefused(B));
        var failing = Assert.Single(_backoff.Describe());
        Assert.Equal((A, TimeSpan.FromSeconds(2), 1L, false), (failing.Address, failing.RefusedFor, failing.Refused, failing.HasDevices));
    }

    [Fact]
    public void Address_ThatFailsAgainAfterItsBackoff_IsRefusedTwiceAsLong_UpToTheLongest()
    {
        FailUntilRefused(A);
        foreach (var seconds in (int[])[2, 4, 8, 16, 32, 60, 60])
        {
            _time.Advance(TimeSpan.FromSeconds(seconds) - TimeSpan.FromMilliseconds(1));
            Assert.True(_backoff.IsRefused(A));
            _time.Advance(TimeSpan.FromMilliseconds(1));
            Assert.False(_backoff.IsRefused(A)); // One may show what it has,
            Assert.True(_backoff.IsRefused(A)); // and no other until it did.
            Fail(A, 1);
        }
    }

    [Fact]
    public void Address_ThatKeepsQuiet_BeginsAnew()
    {
        FailUntilRefused(A);
        _time.Advance(TimeSpan.FromMinutes(3));

        Fail(A, 1);

        Assert.False(_backoff.IsRefused(A));
    }

    [Fact]
    public void Address_ThatFailsAsAnSdkRetries_IsNeverRefused()
    {
        foreach (var pause in (int[])[1, 2, 4, 8, 16, 30, 30, 30])
        {
            Fail(A, 1);
            Assert.False(_backoff.IsRefused(A));
            _time.Advance(TimeSpan.FromSeconds(pause));
        }
    }

    [Fact]
    public void Address_WithADevice_IsNotRefused_UntilThatIsGoneForLong()
    {
        _backoff.Admitted(A);
        FailUntilRefused(A);
        Assert.False(_backoff.IsRefused(A));

        _time.Advance(TimeSpan.FromHours(1));
        FailUntilRefused(A);
        Assert.False(_backoff.IsRefused(A)); // It is still connected.

        _backoff.Left(A);
        FailUntilRefused(A);
        Assert.True(_backoff.IsRefused(A));
    }

    [Fact]
    public void Address_WhoseDeviceIsLetInAtLast_IsForgiven()
    {
        FailUntilRefused(A);
        _time.Advance(TimeSpan.FromSeconds(2));

        _backoff.Admitted(A);
        Fail(A, 10);

        Assert.False(_backoff.IsRefused(A));
    }

    [Fact]
    public void Pair_ThatFails_IsOneOfAddressAndIdentity()
    {
        for (var i = 0; i < 10; i++)
            _backoff.Failed(A, D1);
        _time.Advance(TimeSpan.FromSeconds(1));

        Assert.True(_backoff.Failed(A, D1));
        Assert.False(_backoff.Failed(B, D1));
        Assert.False(_backoff.Failed(A, Identity.Of("d2")));
        Assert.Equal([A, B], _backoff.Describe(D1).Select(failing => failing.Address));
    }

    [Fact]
    public void Addresses_OfOneIPv6Network_AreOne()
    {
        for (var i = 0; i < 20; i++)
            _backoff.Failed(IPAddress.Parse($"2001:db8:0:1::{i}"));
        _time.Advance(TimeSpan.FromSeconds(1));
        _backoff.Failed(IPAddress.Parse("2001:db8:0:1::ffff"));

        Assert.True(_backoff.IsRefused(IPAddress.Parse("2001:db8:0:1:abcd::1")));
        Assert.False(_backoff.IsRefused(IPAddress.Parse("2001:db8:0:2::1")));
    }

    [Fact]
    public void Table_WhenItIsFull_KeepsWhomItKnows_AndTakesNewOnesWhenTheyAreAtRest()
    {
        var backoff = new FailureBackoff(new BackoffOptions { MaxTracked = 1 }, _time);
        for (var i = 0; i < 10; i++)
            backoff.Failed(A);
        _time.Advance(TimeSpan.FromSeconds(1));
        Assert.NotEqual(TimeSpan.Zero, backoff.Failed(A));

        for (var i = 0; i < 10; i++)
            Assert.Equal(TimeSpan.Zero, backoff.Failed(B));
        Assert.True(backoff.IsRefused(A));

        _time.Advance(TimeSpan.FromMinutes(5));
        backoff.Failed(B);
        Assert.Equal(B, Assert.Single(backoff.Describe()).Address);
    }

    private void Fail(IPAddress address, int times)
    {
        for (var i = 0; i < times; i++)
            _backoff.Failed(address);
    }

    private void FailUntilRefused(IPAddress address)
    {
        Fail(address, 10);
        _time.Advance(TimeSpan.FromSeconds(1));
        Fail(address, 1);
    }
}
