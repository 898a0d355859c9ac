using System.Net;
using Microsoft.Extensions.Time.Testing;
using Sallyport.Hub.Limits;

namespace Sallyport.Tests.Hub.Limits;

public sealed class PreAuthenticationLimitsTests
{
    private static readonly IPAddress A = IPAddress.Parse("192.0.2.1");
    private static readonly IPAddress B = IPAddress.Parse("192.0.2.2");

    private static readonly ConnectionLimitsOptions Small = new()
    {
        MaxConnections = 3,
        MaxConnectionsPerAddress = 2,
        MaxBytesPerConnection = 5000,
        MaxBytesPerAddress = 8000,
        MaxBytes = 12_000,
    };

    [Fact]
    public void TryEnter_AtTheBounds_IsRefusedUntilSomebodyLeaves()
    {
        using var limits = new PreAuthenticationLimits(Small);
        var first = limits.TryEnter(A)!;
        Assert.NotNull(limits.TryEnter(A));
        Assert.Null(limits.TryEnter(A));
        Assert.NotNull(limits.TryEnter(B));
        Assert.Null(limits.TryEnter(B)); // in all

        first.Dispose();
        first.Dispose();
        Assert.Equal(2, limits.Current.Connections);
        Assert.NotNull(limits.TryEnter(A));
        Assert.Null(limits.TryEnter(B));
    }

    [Fact]
    public void End_OfWhoFailed_CountsAgainstItsAddress_AndOfNobodyElse()
    {
        var backoff = new FailureBackoff(new BackoffOptions(), new FakeTimeProvider());
        using var limits = new PreAuthenticationLimits(Small with { MaxConnectionsPerAddress = 2 }, backoff);

        var silent = limits.TryEnter(B)!;
        silent.End();
        var health = limits.TryEnter(B)!;
        health.TryTake(100);
        health.Excuse();
        health.End();
        var nothingThere = limits.TryEnter(B)!;
        nothingThere.TryTake(100);
        nothingThere.AnsweredAnybody();
        nothingThere.End();
        var good = limits.TryEnter(B)!;
        good.TryTake(100);
        good.Dispose();
        good.End();
        Assert.Empty(backoff.Describe());

        var garbage = limits.TryEnter(A)!;
        garbage.TryTake(100);
        garbage.End();
        var refused = limits.TryEnter(A)!;
        refused.TryTake(100);
        refused.Answered();
        refused.End();
        Assert.Equal((A, 2.0), (Assert.Single(backoff.Describe()).Address, backoff.Describe()[0].Failures));
        Assert.Equal((0, 0L), limits.Current);
    }

    [Fact]
    public void TryTake_AtTheBounds_IsRefused()
    {
        using var limits = new PreAuthenticationLimits(Small);
        var (a1, a2, b) = (limits.TryEnter(A)!, limits.TryEnter(A)!, limits.TryEnter(B)!);

        Assert.True(a1.TryTake(5000));
        Assert.False(a1.TryTake(1)); // per connection
        Assert.True(a2.TryTake(3000));
        Assert.False(a2.TryTake(1)); // per address
        Assert.True(b.TryTake(4000));
        Assert.False(b.TryTake(1)); // in all
        Assert.Equal((3, 12_000L), limits.Current);
    }

    [Fact]
    public void Dispose_GivesThePlaceAndTheBytesBack_AndFreesWhatFollows()
    {
        using var limits = new PreAuthenticationLimits(Small);
        var lease = limits.TryEnter(A)!;
        Assert.True(lease.TryTake(5000));

        lease.Dispose();

        Assert.Equal((0, 0L), limits.Current);
        Assert.True(lease.TryTake(1_000_000)); // authenticated: no longer counted here
        Assert.Equal((0, 0L), limits.Current);
    }

    [Theory]
    [InlineData("::ffff:192.0.2.1", "192.0.2.1", true)]
    [InlineData("2001:db8:1:1::1", "2001:db8:1:1:ffff::2", true)]
    [InlineData("2001:db8:1:1::1", "2001:db8:1:2::1", false)]
    public void TryEnter_AddressesOfOneHost_AreOne(string first, string second, bool isOne)
    {
        using var limits = new PreAuthenticationLimits(Small with { MaxConnectionsPerAddress = 1 });

        Assert.NotNull(limits.TryEnter(IPAddress.Parse(first)));
        Assert.Equal(isOne, limits.TryEnter(IPAddress.Parse(second)) is null);
    }

    [Fact]
    public async Task Leases_FromManyThreads_AddUpToNothing()
    {
        using var limits = new PreAuthenticationLimits(new ConnectionLimitsOptions { MaxConnections = 50, MaxConnectionsPerAddress = 30 });
        await Task.WhenAll(Enumerable.Range(0, 4).Select(thread => Task.Run(() =>
        {
            var random = new Random(thread);
            var held = new Queue<PreAuthenticationLease>();
            for (var run = 0; run < 20_000; run++)
            {
                if (limits.TryEnter(random.Next(2) == 0 ? A : B) is { } lease)
                {
                    lease.TryTake(random.Next(100));
                    held.Enqueue(lease);
                }

                var now = limits.Current;
                Assert.InRange(now.Connections, 0, 50);
                if (held.Count > 0 && random.Next(2) == 0)
                    held.Dequeue().Dispose();
            }

            while (held.TryDequeue(out var lease))
                lease.Dispose();
        })));

        Assert.Equal((0, 0L), limits.Current);
    }

    [Fact]
    public void Options_Validate_NamesEveryMistake()
    {
        Assert.Empty(new ConnectionLimitsOptions().Validate());
        var wrong = new ConnectionLimitsOptions
        {
            HandshakeDeadline = TimeSpan.Zero,
            MaxConnections = 0,
            MaxBytesPerConnection = 1,
            MaxBytesPerAddress = 0,
            MaxBytes = -1,
        };

        Assert.Equal(6, wrong.Validate().Count());
    }
}
