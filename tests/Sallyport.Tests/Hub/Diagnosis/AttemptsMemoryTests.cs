using System.Net;
using Microsoft.Extensions.Time.Testing;
using Sallyport.Hub.Access;
using Sallyport.Hub.Diagnosis;

namespace Sallyport.Tests.Hub.Diagnosis;

/// <summary>Measures the heap of the process, so nothing else may run.</summary>
[CollectionDefinition(nameof(AttemptsMemoryTests), DisableParallelization = true)]
[Collection(nameof(AttemptsMemoryTests))]
public sealed class AttemptsMemoryTests
{
    private readonly FakeTimeProvider _time = new(new DateTimeOffset(2026, 8, 1, 12, 0, 0, TimeSpan.Zero));

    /// <summary>50,000 attempts in at most 50 MB; here with reasons, fingerprints and addresses of their own, and ids as long as they may be.</summary>
    [Theory]
    [InlineData(50, 5)]
    [InlineData(1, 5)]
    [InlineData(1, 128)]
    [InlineData(50, 128)]
    public void Memory_FullOfAttempts_IsBelow50MB(int perDevice, int idLength)
    {
        var attempts = new Attempts(_ => true, _time);
        var before = GC.GetTotalMemory(forceFullCollection: true);
        for (var i = 0; i < Attempts.MaxLines + 1000; i++)
        {
            attempts.Note(Refused((i / perDevice).ToString("d5").PadLeft(idLength, 'x'), $"the token expired at {_time.GetUtcNow().AddSeconds(i):u}", port: i, address: $"10.{i >> 16}.{(i >> 8) & 255}.{i & 255}") with
            {
                Fingerprint = i.ToString("x64"),
                Certificates = i % 10 == 0 ? new string('c', Attempt.MaxCertificatesLength) : "",
            });
        }

        var bytes = GC.GetTotalMemory(forceFullCollection: true) - before;

        Assert.InRange(bytes, 1, 50_000_000);
        Assert.InRange(attempts.Lines, 20_000, Attempts.MaxLines);
    }

    private static Attempt Refused(string subject, string reason, int port, string address) =>
        new(subject, new Peer(new IPEndPoint(IPAddress.Parse(address), port), "mqtt"), AttemptOutcome.Refused, 401003, reason);
}
