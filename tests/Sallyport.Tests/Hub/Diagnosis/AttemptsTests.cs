using System.Net;
using Microsoft.Extensions.Time.Testing;
using Sallyport.Hub.Access;
using Sallyport.Hub.Diagnosis;

namespace Sallyport.Tests.Hub.Diagnosis;

public sealed class AttemptsTests
{
    private readonly FakeTimeProvider _time = new(new DateTimeOffset(2026, 8, 1, 12, 0, 0, TimeSpan.Zero));

    [Fact]
    public void Note_OfAKnownSubject_KeepsTheLastFifty_NewestFirst()
    {
        var attempts = Known();
        for (var i = 0; i < 60; i++)
            attempts.Note(Refused("d1", $"reason {i}"));

        var kept = attempts.Of("d1");

        Assert.Equal(Attempts.MaxPerSubject, kept.Count);
        Assert.Equal(("reason 59", "reason 10"), (kept[0].Reason, kept[^1].Reason));
        Assert.Empty(attempts.Of("d2"));
    }

    [Fact]
    public void Note_OfTheSameOnceMore_IsCountedInOneLine()
    {
        var attempts = Known();
        attempts.Note(Refused("d1", "wrong key", port: 1000));
        _time.Advance(TimeSpan.FromMinutes(5));
        attempts.Note(Refused("d1", "wrong key", port: 1001));
        attempts.Note(Refused("d1", "wrong key", address: "192.0.2.2"));

        var kept = attempts.Of("d1");

        Assert.Equal([1L, 2L], kept.Select(attempt => attempt.Count));
        Assert.Equal((1001, TimeSpan.FromMinutes(5)), (kept[1].Peer.Address!.Port, kept[1].Last - kept[1].First));
    }

    [Fact]
    public void Note_OfStrangersNames_DrivesNobodysHistoryOut()
    {
        var attempts = new Attempts(subject => subject == "d1", _time);
        attempts.Note(Refused("d1", "wrong key"));
        for (var i = 0; i < 2 * Attempts.MaxOfStrangers; i++)
            attempts.Note(Refused($"stranger{i}", "there is no such device"));

        Assert.Single(attempts.Of("d1"));
        Assert.Equal(1, attempts.Lines);
        Assert.Equal(Attempts.MaxOfStrangers, attempts.OfStrangers().Count);
        Assert.Single(attempts.Of($"stranger{(2 * Attempts.MaxOfStrangers) - 1}"));
        Assert.Empty(attempts.Of("stranger0"));
    }

    [Fact]
    public void Note_BeyondTheBound_ForgetsWhoWasQuietLongest()
    {
        var attempts = Known();
        for (var device = 0; device < 1000; device++)
        {
            for (var i = 0; i < 50; i++)
                attempts.Note(Refused($"d{device}", $"reason {i}"));
        }

        Assert.InRange(attempts.Lines, Attempts.MaxLines - Attempts.MaxOfStrangers - 50, Attempts.MaxLines - Attempts.MaxOfStrangers);
        Assert.Empty(attempts.Of("d0"));
        Assert.Equal(50, attempts.Of("d999").Count);
    }

    [Fact]
    public void Duels_OfThreeTakeOversInAMinute_NameBothAddresses()
    {
        var attempts = Known();
        for (var i = 0; i < 3; i++)
        {
            attempts.Note(TakenOver("192.0.2.1", "198.51.100.2"));
            attempts.Note(TakenOver("198.51.100.2", "192.0.2.1"));
            attempts.Note(TakenOver("192.0.2.1", "203.0.113.3"));
            _time.Advance(TimeSpan.FromSeconds(40));
        }

        var duel = Assert.Single(Attempts.DuelsIn(attempts.Of("d1")));

        Assert.Equal(("192.0.2.1", "198.51.100.2", 6L), (duel.One.ToString(), duel.Other.ToString(), duel.TakeOvers));
    }

    [Fact]
    public void Note_OfLongTexts_CutsThem()
    {
        var attempts = Known();
        attempts.Note(Refused("d1", new string('r', 5000)) with { Certificates = new string('c', 5000) });

        var kept = Assert.Single(attempts.Of("d1"));

        Assert.Equal((Attempt.MaxReasonLength, Attempt.MaxCertificatesLength), (kept.Reason.Length, kept.Certificates.Length));
    }

    private Attempts Known() => new(_ => true, _time);

    private static Attempt Refused(string subject, string reason, int port = 1000, string address = "192.0.2.1") =>
        new(subject, new Peer(new IPEndPoint(IPAddress.Parse(address), port), "mqtt"), AttemptOutcome.Refused, 401003, reason);

    private static Attempt TakenOver(string older, string newer) =>
        new("d1", new Peer(new IPEndPoint(IPAddress.Parse(older), 1), "mqtt"), AttemptOutcome.TakenOver, 400027, "the same identity connected again")
        {
            TakenOverBy = new IPEndPoint(IPAddress.Parse(newer), 2),
        };
}
