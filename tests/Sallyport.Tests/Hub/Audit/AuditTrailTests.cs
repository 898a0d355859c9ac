using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Sallyport.Hub.Audit;
using Sallyport.Storage;
using Sallyport.Storage.Secrets;
using Sallyport.Tests.Storage;

namespace Sallyport.Tests.Hub.Audit;

public sealed class AuditTrailTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();
    private readonly FakeTimeProvider _time = new(new DateTimeOffset(2026, 8, 1, 12, 0, 0, TimeSpan.Zero));

    private readonly AuditKeys _keys = new("0123456789abcdef", new KeyRing(new MasterKey(new byte[32])));

    private string Audit => _directory["audit"];

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task Record_Completed_IsInTheFileWithEveryField()
    {
        await using var trail = Open();

        await trail.RecordAsync(new AuditEntry("policy:iothubowner", "9f86d081884c7d65", "device create", "d1", "done", "", "c-1", "192.0.2.7:50122"), default);

        var lines = Lines(1);
        const string Header = """{"format":"sallyport-audit","version":2,"file":1,"firstSequence":1,"time":"2026-08-01T12:00:00Z","hub":"0123456789abcdef","previous":"0000000000000000000000000000000000000000000000000000000000000000","key":"KEY" """;
        var header = Header.TrimEnd().Replace("KEY", _keys.CurrentId, StringComparison.Ordinal);
        const string Entry = """{"time":"2026-08-01T12:00:00Z","sequence":1,"principal":"policy:iothubowner","credential":"9f86d081884c7d65","action":"device create","target":"d1","result":"done","reason":"","correlationId":"c-1","peer":"192.0.2.7:50122","count":1""";
        Assert.Equal(Sealed(new byte[32], header, out var hash), lines[0]);
        Assert.Equal(Sealed(hash, Entry, out _), lines[1]);
        Assert.Equal(2, lines.Length);
    }

    [Fact]
    public async Task Files_AreTheOwnersAlone()
    {
        await using var trail = Open();
        await trail.RecordAsync(Act("a"), default);

        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(FileOf(1)));
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute, File.GetUnixFileMode(Audit));
    }

    [Fact]
    public async Task Record_FromMany_AreAllThereInSequence()
    {
        await using (var trail = Open())
            await Task.WhenAll(Enumerable.Range(0, 1000).Select(number => trail.RecordAsync(Act($"{number}"), default).AsTask()));

        var entries = Entries(1);
        Assert.Equal(Enumerable.Range(1, 1000).Select(number => (long)number), entries.Select(Sequence));
        Assert.Equal(1000, entries.Select(entry => Text(entry, "target")).Distinct().Count());
    }

    [Fact]
    public async Task Open_Again_GoesOnInTheSameFile()
    {
        await using (var trail = Open())
            await trail.RecordAsync(Act("a"), default);
        await using (var trail = Open())
            await trail.RecordAsync(Act("b"), default);

        Assert.Equal([("a", 1L), ("b", 2L)], Entries(1).Select(entry => (Text(entry, "target"), Sequence(entry))));
    }

    [Fact]
    public async Task Record_BeyondTheSize_StartsTheNextFile()
    {
        await using (var trail = Open(new AuditTrailOptions(MaxFileBytes: 1000)))
        {
            for (var number = 0; number < 5; number++)
                await trail.RecordAsync(Act($"{number}"), default);
            await trail.RecordAsync(Act(new string('x', 512)), default); // longer than a file may be: alone in one
        }

        var files = Directory.GetFiles(Audit).Order(StringComparer.Ordinal).ToList();
        Assert.True(files.Count >= 3);
        long next = 1;
        for (var number = 1; number <= files.Count; number++)
        {
            Assert.Contains($"\"file\":{number},\"firstSequence\":{next},", Lines(number)[0], StringComparison.Ordinal);
            foreach (var entry in Entries(number))
                Assert.Equal(next++, Sequence(entry));
        }

        Assert.Equal(7, next);
        Assert.All(files.SkipLast(1), file => Assert.InRange(new FileInfo(file).Length, 1, 1000));
    }

    [Theory]
    [InlineData("""{"time":"2026-08-""", 2)] // cut in a line
    [InlineData("\0\0\0\0", 2)] // a page that was never written
    [InlineData("\0\0\0\n", 2)]
    [InlineData("""{"time":"2026-08-01T12:00:00Z","sequence":2,"count":1}""", 3)] // whole, but its end of line is missing
    public async Task Open_TornEnd_IsLeftAsItIsAndTheNextFileGoesOn(string torn, long nextSequence)
    {
        await using (var trail = Open())
            await trail.RecordAsync(Act("a"), default);
        await File.AppendAllTextAsync(FileOf(1), torn);
        var before = await File.ReadAllBytesAsync(FileOf(1));

        await using (var trail = Open())
            await trail.RecordAsync(Act("b"), default);

        Assert.Equal(before, await File.ReadAllBytesAsync(FileOf(1)));
        Assert.Equal(
            [("audit recover", "audit-00000001.jsonl", nextSequence), ("test act", "b", nextSequence + 1)],
            Entries(2).Select(entry => (Text(entry, "action"), Text(entry, "target"), Sequence(entry))));
    }

    [Fact]
    public async Task Open_LineRemovedInTheMiddle_IsSaid()
    {
        await using (var trail = Open())
        {
            foreach (var target in new[] { "a", "b", "c" })
                await trail.RecordAsync(Act(target), default);
        }

        await File.WriteAllLinesAsync(FileOf(1), Lines(1).Where(line => !line.Contains("\"target\":\"b\"", StringComparison.Ordinal)));
        await using (Open())
        {
        }

        Assert.Equal(("audit recover", 4L), Entries(2).Select(entry => (Text(entry, "action"), Sequence(entry))).Single());
    }

    [Theory]
    [InlineData("""{"format":"sallyport-audit","version":3,"file":1,"firstSequence":1}""", "newer than this program's 2")]
    [InlineData("""{"format":"something else"}""", "not an audit file")]
    [InlineData("", "not an audit file")]
    public void Open_FileOfAnotherFormat_StopsTheStart(string header, string message)
    {
        Directory.CreateDirectory(Audit);
        File.WriteAllText(FileOf(1), header + "\n");

        Assert.Contains(message, Assert.Throws<UnusableDataException>(() => Open()).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Open_Version1BehindVersion2_StopsTheStart()
    {
        await using (var trail = Open())
            await trail.RecordAsync(Act("a"), default);
        await File.WriteAllTextAsync(FileOf(2), """{"format":"sallyport-audit","version":1,"file":2,"firstSequence":2}""" + "\n");

        Assert.Contains("no hub wrote it", Assert.Throws<UnusableDataException>(() => Open()).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Open_OfAnotherHub_StopsTheStart()
    {
        await using (var trail = Open())
            await trail.RecordAsync(Act("a"), default);

        var other = new AuditKeys("fedcba9876543210", new KeyRing(new MasterKey(new byte[32])));
        Assert.Contains("is of hub 0123456789abcdef", Assert.Throws<UnusableDataException>(
            () => AuditTrail.Open(Audit, other, new AuditTrailOptions(), _time, NullLogger.Instance)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Note_FloodOfOneRefusal_IsTwoLinesAMinute()
    {
        await using var trail = Open();
        for (var number = 0; number < 10_000; number++)
        {
            trail.Note(Refusal("d1", "expired"));
            trail.Note(Refusal("d1", "wrong key"));
        }

        _time.Advance(TimeSpan.FromMinutes(1));
        trail.Note(Refusal("d1", "expired"));
        await trail.RecordAsync(Act("end"), default);

        Assert.Equal(
            [("expired", 1L), ("wrong key", 1L), ("expired", 9999L), ("wrong key", 9999L), ("expired", 1L), ("", 1L)],
            Entries(1).Select(entry => (Text(entry, "reason"), Count(entry))));
    }

    [Fact]
    public async Task Note_FloodOfInventedNames_IsBounded()
    {
        await using var trail = Open(new AuditTrailOptions(MaxTallies: 10));
        for (var number = 0; number < 10_000; number++)
            trail.Note(Refusal($"d{number}", "no such device"));

        _time.Advance(TimeSpan.FromMinutes(1));
        await trail.RecordAsync(Act("end"), default);

        var entries = Entries(1);
        Assert.Equal(12, entries.Count);
        Assert.Equal(10_001, entries.Sum(Count));
    }

    [Fact]
    public async Task Note_OfAnAct_IsNeverCountedTogether()
    {
        await using (var trail = Open())
        {
            for (var number = 0; number < 3; number++)
                trail.Note(Refusal("d1", "not stored") with { CorrelationId = "c" });
        }

        Assert.Equal([1L, 1L, 1L], Entries(1).Select(Count));
    }

    [Fact]
    public async Task Dispose_WritesWhatWasCounted()
    {
        await using (var trail = Open())
        {
            trail.Note(Refusal("d1", "expired"));
            trail.Note(Refusal("d1", "expired"));
        }

        Assert.Equal([1L, 1L], Entries(1).Select(Count));
    }

    [Fact]
    public async Task Note_MoreThanFindRoom_AreCounted()
    {
        const int notes = 50_000;
        await using (var trail = Open(new AuditTrailOptions(QueueLength: 16)))
        {
            for (var number = 0; number < notes; number++)
                trail.Note(Act($"{number}") with { CorrelationId = "c" });
            await trail.RecordAsync(Act("end"), default);
        }

        var dropped = Entries(1).Single(entry => Text(entry, "action") == "audit drop");
        Assert.Equal(notes + 1, Entries(1).Count - 1 + Count(dropped));
    }

    [Fact]
    public async Task Record_ThatCannotBeWritten_Throws_AndALaterOneThatCanIsWritten()
    {
        await using var trail = Open(new AuditTrailOptions(MaxFileBytes: 700));
        await trail.RecordAsync(Act("a"), default);
        Directory.Move(Audit, Audit + ".away"); // the next file has no place

        await Assert.ThrowsAsync<IOException>(async () => await trail.RecordAsync(Act("b"), default));

        Directory.Move(Audit + ".away", Audit);
        await trail.RecordAsync(Act("c"), default);
        Assert.Equal([("c", 2L)], Entries(2).Select(entry => (Text(entry, "target"), Sequence(entry))));
    }

    [Fact]
    public async Task Record_AfterDispose_Throws()
    {
        var trail = Open();
        await trail.DisposeAsync();

        await Assert.ThrowsAsync<IOException>(async () => await trail.RecordAsync(Act("a"), default));
    }

    [Theory]
    [InlineData("\u001b[2J\r\n\"}{")]
    [InlineData("\u202Eevil\u2028")]
    [InlineData("\ud800")]
    public async Task Record_HostileText_IsOneAsciiLine(string text)
    {
        await using var trail = Open();

        await trail.RecordAsync(Act(text) with { Reason = new string('é', 5000) }, default);

        var bytes = await ReadAsync(FileOf(1));
        Assert.DoesNotContain(bytes, b => b is not (byte)'\n' and (< 0x20 or > 0x7e));
        Assert.Equal(2, bytes.Count(b => b == '\n'));
        var reason = Text(Entries(1).Single(), "reason");
        Assert.Equal(515, reason.Length);
        Assert.EndsWith("...", reason, StringComparison.Ordinal);
    }

    /// <summary>As <c>docs/formats/audit.md</c> says, with nothing of the hub's code.</summary>
    private static string Sealed(byte[] previous, string body, out byte[] hash)
    {
        hash = SHA256.HashData([.. previous, .. Encoding.UTF8.GetBytes(body)]);
        var key = HKDF.DeriveKey(HashAlgorithmName.SHA256, new byte[32], 32, info: "sallyport/audit-mac"u8.ToArray());
        var mac = HMACSHA256.HashData(key, hash.Concat(Encoding.UTF8.GetBytes(body)).ToArray());
        return $"{body},\"hash\":\"{Convert.ToHexStringLower(hash)}\",\"mac\":\"{Convert.ToHexStringLower(mac.AsSpan(0, 16))}\"}}";
    }

    private AuditTrail Open(AuditTrailOptions? options = null) =>
        AuditTrail.Open(Audit, _keys, options ?? new AuditTrailOptions(), _time, NullLogger.Instance);

    private static AuditEntry Act(string target) => new("local:test", "", "test act", target, "done", "", "", "local");

    private static AuditEntry Refusal(string target, string reason) =>
        new("anonymous", "", "authentication", target, "refused", reason, "", "mqtt 192.0.2.7:1");

    private string FileOf(int number) => Path.Combine(Audit, $"audit-{number:00000000}.jsonl");

    private string[] Lines(int file)
    {
        using var reader = new StreamReader(new FileStream(FileOf(file), FileMode.Open, FileAccess.Read, FileShare.ReadWrite));
        return reader.ReadToEnd().Split('\n', StringSplitOptions.RemoveEmptyEntries);
    }

    private static async Task<byte[]> ReadAsync(string path)
    {
        await using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
        var bytes = new byte[file.Length];
        await file.ReadExactlyAsync(bytes);
        return bytes;
    }

    private List<JsonElement> Entries(int file) => [.. Lines(file).Skip(1).Select(line => JsonDocument.Parse(line).RootElement)];

    private static string Text(JsonElement entry, string name) => entry.GetProperty(name).GetString()!;

    private static long Sequence(JsonElement entry) => entry.GetProperty("sequence").GetInt64();

    private static long Count(JsonElement entry) => entry.GetProperty("count").GetInt64();
}
