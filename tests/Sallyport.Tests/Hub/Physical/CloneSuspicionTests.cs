using System.Net;
using Microsoft.Extensions.Logging.Abstractions;
using Sallyport.Hub.Access;
using Sallyport.Hub.Physical;
using Sallyport.Protocol.Identities;
using Sallyport.Tests.Hub.Registry;

namespace Sallyport.Tests.Hub.Physical;

public sealed class CloneSuspicionTests : IAsyncLifetime
{
    private static readonly Identity Device = Identity.Of("d1");

    private RegistryFixture _fixture = null!;
    private Quarantine _quarantine = null!;
    private int _port = 1000;

    public async ValueTask InitializeAsync()
    {
        _fixture = await RegistryFixture.OpenAsync();
        await _fixture.CreateAsync("d1");
        _quarantine = new Quarantine(_fixture.Metadata, new QuarantineLine(), _fixture.Audit, _fixture.Time);
    }

    public async ValueTask DisposeAsync()
    {
        _quarantine.Dispose();
        await _fixture.DisposeAsync();
    }

    [Fact]
    public void TakeOvers_BetweenTwoAddresses_AreReportedOnce()
    {
        var clones = Watch(new CloneRule { Returns = 3 });

        Move(clones, "A", "B", "A", "B"); // The first take-over is no return.
        Assert.Empty(clones.Reported);
        Move(clones, "B", "A");
        var reported = Assert.Single(clones.Reported);
        Assert.Equal((Device, 3), (reported.Identity, reported.Returns));
        Assert.Equal(["10.0.0.1", "10.0.0.2"], reported.Addresses.Select(address => address.ToString()));
        Move(clones, "A", "B", "A", "B", "A", "B", "A");

        Assert.Single(clones.Reported);
        var entry = Assert.Single(_fixture.Audit.Entries, entry => entry.Action == "clone suspicion");
        Assert.Equal(("rule:clone", "d1"), (entry.Principal, entry.Target));
        Assert.Contains("10.0.0.1, 10.0.0.2", entry.Reason);
        Assert.Null(_quarantine.Find("d1"));
    }

    [Fact]
    public void TakeOvers_ThatOnlyMoveOn_AreNotReported()
    {
        var clones = Watch(new CloneRule { Returns = 2 });

        Move(clones, "ABCDEFGHIJKLMNOPQRSTUVWXYZ".Select(address => address.ToString()).ToArray());

        Assert.Empty(clones.Reported);
    }

    [Fact]
    public void TakeOvers_BehindOneAddress_AreNotSeen()
    {
        var clones = Watch(new CloneRule { Returns = 2 });

        Move(clones, "A", "A", "A", "A", "A");

        Assert.Equal(0, clones.Watching);
    }

    [Fact]
    public void TakeOvers_SpreadOverMoreThanTheWindow_AreNotReported()
    {
        var clones = Watch(new CloneRule { Returns = 3, Window = TimeSpan.FromMinutes(10) });

        foreach (var (from, to) in new[] { ("A", "B"), ("B", "A"), ("A", "B"), ("B", "A"), ("A", "B"), ("B", "A") })
        {
            Move(clones, from, to);
            _fixture.Time.Advance(TimeSpan.FromMinutes(6));
        }

        Assert.Empty(clones.Reported);
    }

    [Fact]
    public async Task Suspicion_WhereTheRuleSaysSo_Quarantines()
    {
        var recorded = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _fixture.Audit.Recorded = entry =>
        {
            if (entry.Action == "device quarantine")
                recorded.TrySetResult();
        };
        var clones = Watch(new CloneRule { Returns = 2, Quarantines = true });

        Move(clones, "A", "B", "A", "B");
        await recorded.Task.WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);

        // The act that follows waits for the one under way.
        var placed = await _quarantine.PlaceAsync(RegistryFixture.Owner, "d1", "by hand", TestContext.Current.CancellationToken);
        Assert.Equal("rule:clone", placed.PlacedBy);
    }

    [Fact]
    public void Watching_AtItsBound_ForgetsWhoWasQuietLongest()
    {
        var clones = Watch(new CloneRule { Returns = 2 }, maxWatched: 2);

        foreach (var id in new[] { "d1", "d2", "d1", "d3" })
            clones.TakenOver(Identity.Of(id), Peer("A"), Peer("B"));
        Assert.Equal(2, clones.Watching);
        clones.TakenOver(Device, Peer("B"), Peer("A"));
        clones.TakenOver(Device, Peer("A"), Peer("B"));

        Assert.Single(clones.Reported);
    }

    private CloneSuspicion Watch(CloneRule rule, int maxWatched = CloneSuspicion.MaxWatched) =>
        new(rule, _quarantine, _fixture.Audit, _fixture.Time, NullLogger<CloneSuspicion>.Instance, maxWatched);

    private void Move(CloneSuspicion clones, params string[] addresses)
    {
        for (var i = 1; i < addresses.Length; i++)
            clones.TakenOver(Device, Peer(addresses[i - 1]), Peer(addresses[i]));
    }

    private Peer Peer(string address) => new(new IPEndPoint(new IPAddress(new byte[] { 10, 0, 0, (byte)(address[0] - 'A' + 1) }), _port++), "mqtt");
}
