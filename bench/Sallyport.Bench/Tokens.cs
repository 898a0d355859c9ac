using System.Diagnostics;
using System.Security.Cryptography;
using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using Sallyport.Hub.Access;
using Sallyport.Hub.Audit;
using Sallyport.Protocol.Sas;
using Sallyport.Storage.Metadata;
using Sallyport.Storage.Secrets;

namespace Sallyport.Bench;

/// <summary>What checking a token costs: read, host, signature, coverage, life, and the table of revoked tokens with a row in it.</summary>
internal static class Tokens
{
    private const int Batch = 20_000;

    public static async Task Run(string directory, int rounds, TextWriter output)
    {
        using var secrets = new SecretBox(new KeyRing(new MasterKey(RandomNumberGenerator.GetBytes(32))));
        await using var metadata = await SqliteMetadata.OpenAsync(Path.Combine(directory, "metadata.db"), secrets, TimeProvider.System, NullLogger.Instance);
        await metadata.WriteAsync(tx =>
        {
            metadata.Revocations.PutToken(tx, new RevokedTokenRecord(new string('a', TokenFingerprint.TextLength), "d2", null, DateTimeOffset.UtcNow));
            return true;
        });
        using var revoked = new RevokedTokens(metadata, new NoTrail(), TimeProvider.System);
        var tokens = new TokenCheck(new HubNames(["hub.example.org"]), revoked, new TokenOptions(TimeSpan.FromDays(1)), TimeProvider.System);
        var key = KeyPair.NewKey();
        var expires = DateTimeOffset.UtcNow.AddHours(1);
        var text = SharedAccessSignature.Create("hub.example.org/devices/device-0001", key, expires);
        Measure("primary", KeyPair.Of(key, KeyPair.NewKey()), text, "devices/device-0001");
        Measure("secondary", KeyPair.Of(KeyPair.NewKey(), key), text, "devices/device-0001");
        var keyText = Convert.ToBase64String(Encoding.UTF8.GetBytes(key));
        var ofEventHubs = SharedAccessSignature.Create("sb://hub.example.org/hub/ConsumerGroups/$Default/Partitions/0", keyText, expires, "service");
        Measure("text of the secondary", KeyPair.Of(KeyPair.NewKey(), key), ofEventHubs, "hub/consumergroups/$default/partitions/0");

        void Measure(string which, KeyPair keys, string text, string path)
        {

            List<double> microseconds = [];
            long bytes = 0;
            for (var round = 0; round < rounds + 10; round++)
            {
                var before = GC.GetAllocatedBytesForCurrentThread();
                var clock = Stopwatch.StartNew();
                for (var i = 0; i < Batch; i++)
                {
                    if ((tokens.Read(text, "hub.example.org", out var token) ?? tokens.Verify(token!.Value, keys, "", path)) is { } refusal)
                        throw new InvalidOperationException(refusal.Reason);
                }

                if (round < 10)
                    continue; // warm-up

                microseconds.Add(clock.Elapsed.TotalMicroseconds / Batch);
                bytes += GC.GetAllocatedBytesForCurrentThread() - before;
            }

            microseconds.Sort();
            output.WriteLine(FormattableString.Invariant(
                $"token verification, signed with the {which} key, {rounds} rounds of {Batch}: median {microseconds[rounds / 2]:0.00} us, least {microseconds[0]:0.00} us, most {microseconds[^1]:0.00} us; {bytes / ((double)rounds * Batch):0.00} B each"));
        }
    }

    private sealed class NoTrail : IAuditTrail
    {
        public ValueTask RecordAsync(AuditEntry entry, CancellationToken cancel) => ValueTask.CompletedTask;

        public void Note(AuditEntry entry)
        {
            // Nobody acts here.
        }
    }
}
