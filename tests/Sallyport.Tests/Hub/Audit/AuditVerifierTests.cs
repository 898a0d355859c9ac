using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Sallyport.Hub.Audit;
using Sallyport.Mutants.Audit;
using Sallyport.Storage.Secrets;
using Sallyport.Tests.Storage;

namespace Sallyport.Tests.Hub.Audit;

/// <summary>What somebody may do to the files of a trail, and what verifying says of it.</summary>
public sealed partial class AuditVerifierTests : IDisposable
{
    private const string HubId = "0123456789abcdef";

    private readonly TemporaryDirectory _directory = new();
    private readonly FakeTimeProvider _time = new(new DateTimeOffset(2026, 8, 1, 12, 0, 0, TimeSpan.Zero));
    private readonly AuditKeys _keys = new(HubId, new KeyRing(new MasterKey(new byte[32])));
    private readonly AuditKeys _otherKeys = new(HubId, new KeyRing(MasterKey.Random()));

    // Three files: entries 1 to 4, 5 to 8, 9 to 12; line n + 1 of a file is its n-th entry.
    private string Trail => _directory["audit"];

    public void Dispose() => _directory.Dispose();

    public static TheoryData<string, string> Tamperings => new()
    {
        { "nothing", "" },
        { "change the target of an entry", "Changed 2:3 #6" },
        { "change the count of an entry", "Changed 1:2 #1" },
        { "change the last entry", "Changed 3:5 #12" },
        { "change an entry and its hash", "Unsigned 2:3 #6" },
        { "change two entries in a row", "Changed 2:3 #6, Changed 2:4 #7" },
        { "replace an entry by text", "Changed 2:3 #6" },
        { "replace the last entry by text", "Changed 3:5 #12" },
        { "replace an entry by zeros", "Changed 2:3 #6" },
        { "remove an entry", "Removed 2:3 #6" },
        { "remove the first entry of a file", "Removed 2:2 #5" },
        { "remove the last entry of a file", "Removed 3:1 #8" },
        { "remove two entries and renumber", "Changed 2:3 #6, Removed 3:1 #7" },
        { "swap two entries", "Moved 2:4 #6" },
        { "move an entry to the next file", "Moved 3:3 #6" },
        { "double an entry", "Repeated 2:4 #6" },
        { "double an entry elsewhere", "Repeated 3:3 #6" },
        { "put in an entry", "Inserted 2:3 #6" },
        { "put in an entry with a fitting hash", "Inserted 2:3 #6" },
        { "put in an empty line", "Inserted 2:3 #6" },
        { "put in a line of 2 MiB", "Inserted 2:3 #6" },
        { "splice in an entry of another history", "Spliced 2:3 #6" },
        { "splice in the tail of another history", "Spliced 2:3 #6" },
        { "remove a file", "FileMissing 2:0 #5" },
        { "swap two files", "FileMisplaced 1:1 #0, FileMisplaced 2:1 #0" },
        { "replace a file by one of another history", "Spliced 2:1 #0, Spliced 3:1 #0" },
        { "replace a file by its older copy", "Removed 3:1 #7" },
        { "change the first line of a file", "Changed 2:1 #0" },
        { "change the first line of a file to version 1", "Inserted 2:1 #0, Removed 3:1 #5" },
        { "empty a file", "Changed 2:1 #0, Removed 3:1 #5" },
        { "name another key", "UnknownKey 2:1 #0, UnknownKey 3:1 #0" },
        { "put a file of version 1 at the end", "Inserted 4:1 #0" },
        { "put a file of another hub at the end", "FileMisplaced 4:1 #0" },
        { "write all anew without the key", "Unsigned 1:1 #0" },
        { "write the end anew without the key", "Unsigned 3:3 #10" },
        { "tear the last line", "" },
        { "leave zeros at the end", "" },
        { "tear the last line of an older file", "Changed 2:5 #8" },
        { "cut off the last entry", "" },
        { "cut off the last file", "" },
        { "put back an older copy", "" },
        { "put back an older copy and go on", "" },
        { "write all anew with the key", "" },
    };

    /// <summary>With an anchor of the head, and one of an earlier moment (entry 6).</summary>
    public static TheoryData<string, string> AnchoredTamperings => new()
    {
        { "nothing", "" },
        { "cut off the last entry", "CutOff 3:5 #12" },
        { "cut off the last file", "CutOff 3:5 #12" },
        { "put back an older copy", "CutOff 3:5 #12" },
        { "put back an older copy and go on", "Rewritten 3:5 #12" },
        { "write all anew with the key", "Rewritten 2:3 #6" },
        { "tear the last line", "Changed 3:5 #12, Rewritten 3:5 #12" },
        { "remove the whole trail", "NotAnchored" },
    };

    /// <summary>By somebody without the hub's key, so that changed lines and those of another history look the same.</summary>
    public static TheoryData<string, string> KeylessTamperings => new()
    {
        { "nothing", "" },
        { "change the target of an entry", "Changed 2:3 #6" },
        { "change an entry and its hash", "Changed 2:4 #7" },
        { "remove an entry", "Removed 2:3 #6" },
        { "swap two entries", "Moved 2:4 #6" },
        { "double an entry", "Repeated 2:4 #6" },
        { "splice in the tail of another history", "Changed 2:3 #6" },
        { "remove a file", "FileMissing 2:0 #5" },
        { "write all anew without the key", "" },
    };

    [Theory]
    [MemberData(nameof(Tamperings))]
    public async Task Verify_WithTheKey_SaysWhatWasDone(string tampering, string expected)
    {
        await WriteAsync(Trail, "a");
        await TamperAsync(tampering);

        var verification = AuditVerifier.Verify(Trail, _keys, [], default);

        Assert.Equal(expected, Said(verification));
        Assert.Contains(verification.NotExcluded, what => what.Contains("cut off at the end", StringComparison.Ordinal));
    }

    [Theory]
    [MemberData(nameof(AnchoredTamperings))]
    public async Task Verify_WithAnchors_AlsoSeesWhatTheKeyHolderCanDo(string tampering, string expected)
    {
        await WriteAsync(Trail, "a");
        var anchors = new[] { AnchorOf(Trail, 2, 3), AuditVerifier.Verify(Trail, _keys, [], default).Head! };
        await TamperAsync(tampering);

        var verification = AuditVerifier.Verify(Trail, _keys, anchors, default);

        Assert.StartsWith(expected, Said(verification), StringComparison.Ordinal);
        Assert.Equal(expected.Length == 0, verification.IsSound);
        if (tampering == "nothing")
            Assert.Empty(verification.NotExcluded);
    }

    [Theory]
    [MemberData(nameof(KeylessTamperings))]
    public async Task Verify_WithoutTheKey_FollowsTheHashes(string tampering, string expected)
    {
        await WriteAsync(Trail, "a");
        await TamperAsync(tampering);

        var verification = AuditVerifier.Verify(Trail, null, [], default);

        Assert.Equal(expected, Said(verification));
        Assert.Contains(verification.NotExcluded, what => what.Contains("Who wrote the entries", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Verify_TrailWrittenAnewWithoutTheKey_IsSeenByItsAnchorAlone()
    {
        await WriteAsync(Trail, "a");
        var head = AuditVerifier.Verify(Trail, null, [], default).Head!;
        await TamperAsync("write all anew without the key");

        Assert.StartsWith("Rewritten", Said(AuditVerifier.Verify(Trail, null, [head], default)), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Verify_LinesThatAreNotChained_AreCaught()
    {
        // The mutant hashes each line by itself: what was spliced in from another history is seen no more.
        await WriteAsync(Trail, "a", UnchainedLines.Hash);
        await WriteAsync(_directory["other"], "b", UnchainedLines.Hash);
        Splice(2, 3);
        Assert.Equal("", Said(AuditVerifier.Verify(Trail, _keys, [], UnchainedLines.Hash, default)));

        // The real verifier takes nothing that such a hub wrote.
        Assert.False(AuditVerifier.Verify(Trail, _keys, [], default).IsSound);
    }

    [Fact]
    public async Task Verify_AfterACrash_SaysSoAndGoesOn()
    {
        await WriteAsync(Trail, "a");
        var cut = File.ReadAllText(FileOf(3))[..^40];
        await File.WriteAllTextAsync(FileOf(3), cut);
        await WriteAsync(Trail, "b");

        var verification = AuditVerifier.Verify(Trail, _keys, [], default);

        Assert.Equal("", Said(verification));
        Assert.Contains(verification.Notes, note => note.Contains("audit-00000003.jsonl ends with an unfinished line", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Verify_MoreFindingsThanTheBound_CountsTheRest()
    {
        await WriteAsync(Trail, "a");
        await File.WriteAllTextAsync(FileOf(2), Lines(2)[0] + "\n" + string.Concat(Enumerable.Repeat("nothing\n", AuditVerifier.MaxFindings + 500)));

        var verification = AuditVerifier.Verify(Trail, _keys, [], default);

        Assert.Equal(AuditVerifier.MaxFindings, verification.Findings.Count);
        Assert.InRange(verification.MoreFindings, 500, 502);
    }

    [Theory]
    [InlineData("cut what was left")]
    [InlineData("change what was left")]
    [InlineData("add to what was left")]
    public async Task Verify_WhatACrashLeftChangedLater_IsFound(string how)
    {
        await WriteAsync(Trail, "a");
        var cut = File.ReadAllText(FileOf(3))[..^40];
        await File.WriteAllTextAsync(FileOf(3), cut);
        await WriteAsync(Trail, "b");
        await File.WriteAllTextAsync(FileOf(3), how switch
        {
            "cut what was left" => cut[..^10],
            "change what was left" => cut[..^10] + "0123456789",
            _ => cut + "x",
        });

        Assert.False(AuditVerifier.Verify(Trail, _keys, [], default).IsSound);
    }

    [Fact]
    public async Task Verify_FileChangedBeforeTheHubWentOn_IsNoTornEnd()
    {
        await WriteAsync(Trail, "a");
        await TamperAsync("change the target of the second last entry");
        await WriteAsync(Trail, "b");

        Assert.Equal("Changed 3:4 #11", Said(AuditVerifier.Verify(Trail, _keys, [], default)));
    }

    [Fact]
    public async Task Verify_RestOfAnArchivedTrail_IsTiedToItByTheArchivesHead()
    {
        await WriteAsync(Trail, "a");
        var archive = _directory["archive"];
        Directory.CreateDirectory(archive);
        File.Move(FileOf(1), Path.Combine(archive, "audit-00000001.jsonl"));
        var end = AuditVerifier.Verify(archive, _keys, [], default).Head!;

        var without = AuditVerifier.Verify(Trail, _keys, [], default);
        var with = AuditVerifier.Verify(Trail, _keys, [end], default);

        Assert.True(without.IsSound);
        Assert.Contains(without.NotExcluded, what => what.Contains("What came before audit-00000002.jsonl", StringComparison.Ordinal));
        Assert.True(with.IsSound);
        Assert.Equal(1, with.Anchors);
        Assert.DoesNotContain(with.NotExcluded, what => what.Contains("What came before", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Verify_FilesOfVersion1_AreHeldByTheFirstOfVersion2()
    {
        WriteVersion1();
        await WriteAsync(Trail, "a");
        Assert.Equal("", Said(AuditVerifier.Verify(Trail, _keys, [], default)));
        Assert.Equal(14, AuditVerifier.Verify(Trail, _keys, [], default).Head!.Sequence);

        await File.WriteAllTextAsync(FileOf(1), (await File.ReadAllTextAsync(FileOf(1))).Replace("policy create", "policy delete", StringComparison.Ordinal));

        Assert.Equal("Changed 1:0 #0", Said(AuditVerifier.Verify(Trail, _keys, [], default)));
    }

    [Fact]
    public async Task Verify_WhileItIsWritten_FindsNothing()
    {
        await using var trail = Open(Trail, AuditSeal.Chain);
        var writing = Task.Run(async () =>
        {
            for (var number = 0; number < 300; number++)
                await trail.RecordAsync(Act("a", number), default);
        });
        var runs = 0;
        while (!writing.IsCompleted || runs == 0)
        {
            Assert.Equal("", Said(AuditVerifier.Verify(Trail, _keys, [], default)));
            runs++;
        }

        await writing;
        Assert.Equal(trail.Head.Hash, AuditVerifier.Verify(Trail, _keys, [trail.Head], default).Head!.Hash);
    }

    [Fact]
    public async Task Open_WithANewKey_BeginsAFileAndBothVerify()
    {
        await WriteAsync(Trail, "a");
        var rotated = new AuditKeys(HubId, new KeyRing(MasterKey.Random(), new MasterKey(new byte[32])));
        await using (var trail = AuditTrail.Open(Trail, rotated, new AuditTrailOptions(), _time, NullLogger.Instance))
            await trail.RecordAsync(Act("b", 1), default);

        Assert.Equal("", Said(AuditVerifier.Verify(Trail, rotated, [], default)));
        Assert.Equal(4, AuditVerifier.Verify(Trail, rotated, [], default).Files);
    }

    [Fact]
    public async Task Anchor_InWhateverWasCollected_IsFound()
    {
        await WriteAsync(Trail, "a");
        var head = AuditVerifier.Verify(Trail, _keys, [], default).Head!;

        var read = AuditAnchor.ReadAll($"noise\n<110>1 2026-08-01T12:00:00Z hub sallyport 1 anchor - {head.ToJson()}\n[{head.ToJson()}]\n");

        Assert.Equal([head, head], read);
    }

    [Theory]
    [InlineData("""{"format":"sallyport-audit-anchor","version":2,"hub":"a","time":"2026-08-01T12:00:00Z","file":1,"line":1,"sequence":1,"hash":"00"}""")]
    [InlineData("""{"format":"sallyport-audit-anchor","version":1,"hub":"a","time":"2026-08-01T12:00:00Z","file":1,"line":1,"sequence":1,"hash":"00"}""")]
    [InlineData("""{"format":"sallyport-audit-anchor","version":1""")]
    public void Anchor_Damaged_IsRefused(string text) => Assert.Throws<FormatException>(() => AuditAnchor.ReadAll(text));

    private static string Said(AuditVerification verification) => string.Join(", ", verification.Findings.Select(finding =>
        finding.File.Length == 0 ? $"{finding.Fault}" : $"{finding.Fault} {int.Parse(finding.File.AsSpan(6, 8), CultureInfo.InvariantCulture)}:{finding.Line} #{finding.Sequence}"));

    private AuditTrail Open(string directory, LineHash chain, AuditKeys? keys = null) =>
        AuditTrail.Open(directory, keys ?? _keys, new AuditTrailOptions(MaxFileBytes: 2000), _time, NullLogger.Instance, chain);

    /// <summary>Twelve acts, four a file.</summary>
    private async Task WriteAsync(string directory, string who, LineHash? chain = null, AuditKeys? keys = null, int count = 12)
    {
        await using var trail = Open(directory, chain ?? AuditSeal.Chain, keys);
        for (var number = 1; number <= count; number++)
        {
            _time.Advance(TimeSpan.FromSeconds(1));
            await trail.RecordAsync(Act(who, number), default);
        }
    }

    private static AuditEntry Act(string who, int number) => new($"policy:{who}", "9f86d081884c7d65", "device create", $"device-{number:00}", "done", "", $"correlation-{number:00}", "192.0.2.7:50122");

    private AuditAnchor AnchorOf(string directory, int file, int line)
    {
        var text = File.ReadAllLines(Path.Combine(directory, $"audit-{file:00000000}.jsonl"))[line - 1];
        return new AuditAnchor(HubId, _time.GetUtcNow(), file, line, ((file - 1) * 4) + line - 1, Hash().Match(text).Groups[1].Value);
    }

    private void WriteVersion1()
    {
        Directory.CreateDirectory(Trail);
        File.WriteAllText(
            FileOf(1),
            """
            {"format":"sallyport-audit","version":1,"file":1,"firstSequence":1}
            {"time":"2026-07-01T12:00:00Z","sequence":1,"principal":"local:first start","credential":"","action":"policy create","target":"iothubowner","result":"done","reason":"","correlationId":"","peer":"local","count":1}
            {"time":"2026-07-01T12:00:01Z","sequence":2,"principal":"local:first start","credential":"","action":"policy create","target":"service","result":"done","reason":"","correlationId":"","peer":"local","count":1}

            """);
    }

    private string FileOf(int number) => Path.Combine(Trail, $"audit-{number:00000000}.jsonl");

    private List<string> Lines(int file) => [.. File.ReadAllLines(FileOf(file))];

    private void Put(int file, List<string> lines) => File.WriteAllText(FileOf(file), string.Concat(lines.Select(line => line + "\n")));

    private void Change(int file, Action<List<string>> change)
    {
        var lines = Lines(file);
        change(lines);
        Put(file, lines);
    }

    private void Splice(int file, int line) => Change(file, lines => lines[line - 1] = File.ReadAllLines(Path.Combine(_directory["other"], $"audit-{file:00000000}.jsonl"))[line - 1]);

    /// <summary>The line with other text, and a hash that fits the line before it.</summary>
    private static string Rehashed(string previous, string line, string from, string to)
    {
        var body = line.Replace(from, to, StringComparison.Ordinal)[..^AuditSeal.Length];
        var hash = new byte[AuditSeal.HashLength];
        AuditSeal.Chain(Convert.FromHexString(Hash().Match(previous).Groups[1].Value), Encoding.UTF8.GetBytes(body), hash);
        return $"{body},\"hash\":\"{Convert.ToHexStringLower(hash)}\",\"mac\":\"{new string('0', 32)}\"}}";
    }

    private async Task TamperAsync(string tampering)
    {
        switch (tampering)
        {
            case "nothing":
                break;
            case "change the target of an entry":
                Change(2, lines => lines[2] = lines[2].Replace("device-06", "device-99", StringComparison.Ordinal));
                break;
            case "change the target of the second last entry":
                Change(3, lines => lines[3] = lines[3].Replace("device-11", "device-99", StringComparison.Ordinal));
                break;
            case "change the count of an entry":
                Change(1, lines => lines[1] = lines[1].Replace("\"count\":1", "\"count\":2", StringComparison.Ordinal));
                break;
            case "change the last entry":
                Change(3, lines => lines[4] = lines[4].Replace("device-12", "device-99", StringComparison.Ordinal));
                break;
            case "change an entry and its hash":
                Change(2, lines => lines[2] = Rehashed(lines[1], lines[2], "device-06", "device-99"));
                break;
            case "change two entries in a row":
                Change(2, lines => (lines[2], lines[3]) = (lines[2].Replace("done", "gone", StringComparison.Ordinal), lines[3].Replace("done", "gone", StringComparison.Ordinal)));
                break;
            case "replace an entry by text":
                Change(2, lines => lines[2] = "nothing to see here");
                break;
            case "replace the last entry by text":
                Change(3, lines => lines[4] = "nothing to see here");
                break;
            case "replace an entry by zeros":
                Change(2, lines => lines[2] = new string('\0', lines[2].Length));
                break;
            case "remove an entry":
                Change(2, lines => lines.RemoveAt(2));
                break;
            case "remove the first entry of a file":
                Change(2, lines => lines.RemoveAt(1));
                break;
            case "remove the last entry of a file":
                Change(2, lines => lines.RemoveAt(4));
                break;
            case "remove two entries and renumber":
                Change(2, lines =>
                {
                    lines.RemoveRange(2, 2);
                    lines[2] = lines[2].Replace("\"sequence\":8", "\"sequence\":6", StringComparison.Ordinal);
                });
                break;
            case "swap two entries":
                Change(2, lines => (lines[2], lines[3]) = (lines[3], lines[2]));
                break;
            case "move an entry to the next file":
                {
                    var moved = Lines(2)[2];
                    Change(2, lines => lines.RemoveAt(2));
                    Change(3, lines => lines.Insert(2, moved));
                    break;
                }

            case "double an entry":
                Change(2, lines => lines.Insert(3, lines[2]));
                break;
            case "double an entry elsewhere":
                {
                    var doubled = Lines(2)[2];
                    Change(3, lines => lines.Insert(2, doubled));
                    break;
                }

            case "put in an entry":
                Change(2, lines => lines.Insert(2, lines[2].Replace("device-06", "device-99", StringComparison.Ordinal)));
                break;
            case "put in an entry with a fitting hash":
                Change(2, lines => lines.Insert(2, Rehashed(lines[1], lines[2], "device-06", "device-99")));
                break;
            case "put in an empty line":
                Change(2, lines => lines.Insert(2, ""));
                break;
            case "put in a line of 2 MiB":
                Change(2, lines => lines.Insert(2, new string('x', 2 * 1024 * 1024)));
                break;
            case "splice in an entry of another history":
                await WriteAsync(_directory["other"], "b");
                Splice(2, 3);
                break;
            case "splice in the tail of another history":
                await WriteAsync(_directory["other"], "b");
                for (var line = 3; line <= 5; line++)
                    Splice(2, line);
                File.Copy(Path.Combine(_directory["other"], "audit-00000003.jsonl"), FileOf(3), overwrite: true);
                break;
            case "remove a file":
                File.Delete(FileOf(2));
                break;
            case "swap two files":
                File.Move(FileOf(1), FileOf(9));
                File.Move(FileOf(2), FileOf(1));
                File.Move(FileOf(9), FileOf(2));
                break;
            case "replace a file by one of another history":
                await WriteAsync(_directory["other"], "b");
                File.Copy(Path.Combine(_directory["other"], "audit-00000002.jsonl"), FileOf(2), overwrite: true);
                break;
            case "replace a file by its older copy":
                Change(2, lines => lines.RemoveRange(3, 2));
                break;
            case "change the first line of a file":
                Change(2, lines => lines[0] = lines[0].Replace("\"firstSequence\":5", "\"firstSequence\":6", StringComparison.Ordinal));
                break;
            case "change the first line of a file to version 1":
                Change(2, lines => lines[0] = """{"format":"sallyport-audit","version":1,"file":2,"firstSequence":5}""");
                break;
            case "empty a file":
                await File.WriteAllTextAsync(FileOf(2), "");
                break;
            case "name another key":
                NameKey(2, _keys.CurrentId, _otherKeys.CurrentId);
                break;
            case "put a file of version 1 at the end":
                await File.WriteAllTextAsync(FileOf(4), """{"format":"sallyport-audit","version":1,"file":4,"firstSequence":13}""" + "\n");
                break;
            case "put a file of another hub at the end":
                await WriteAsync(_directory["other"], "b", keys: new AuditKeys("fedcba9876543210", new KeyRing(new MasterKey(new byte[32]))), count: 16);
                File.Copy(Path.Combine(_directory["other"], "audit-00000004.jsonl"), FileOf(4));
                break;
            case "write all anew without the key":
                for (var number = 1; number <= 3; number++)
                    File.Delete(FileOf(number));
                await WriteAsync(Trail, "b", keys: _otherKeys);
                NameKey(1, _otherKeys.CurrentId, _keys.CurrentId);
                break;
            case "write the end anew without the key":
                Change(3, lines =>
                {
                    for (var line = 2; line <= 4; line++)
                        lines[line] = Rehashed(lines[line - 1], lines[line], "device-", "gerbil-");
                });
                break;
            case "tear the last line":
                await File.WriteAllTextAsync(FileOf(3), (await File.ReadAllTextAsync(FileOf(3)))[..^40]);
                break;
            case "leave zeros at the end":
                await File.AppendAllTextAsync(FileOf(3), new string('\0', 100));
                break;
            case "tear the last line of an older file":
                await File.WriteAllTextAsync(FileOf(2), (await File.ReadAllTextAsync(FileOf(2)))[..^40]);
                break;
            case "cut off the last entry":
                Change(3, lines => lines.RemoveAt(4));
                break;
            case "cut off the last file":
                File.Delete(FileOf(3));
                break;
            case "put back an older copy":
                File.Delete(FileOf(3));
                Change(2, lines => lines.RemoveRange(3, 2));
                break;
            case "put back an older copy and go on":
                File.Delete(FileOf(3));
                Change(2, lines => lines.RemoveRange(4, 1));
                await WriteAsync(Trail, "b", count: 8);
                break;
            case "write all anew with the key":
                for (var number = 1; number <= 3; number++)
                    File.Delete(FileOf(number));
                await WriteAsync(Trail, "b");
                break;
            case "remove the whole trail":
                for (var number = 1; number <= 3; number++)
                    File.Delete(FileOf(number));
                await WriteAsync(Trail, "b", keys: new AuditKeys("fedcba9876543210", new KeyRing(new MasterKey(new byte[32]))));
                break;
            default:
                throw new ArgumentOutOfRangeException(nameof(tampering), tampering, "unknown");
        }
    }

    /// <summary>Says from a file on that it is signed with another key than it is, and makes its hashes fit.</summary>
    private void NameKey(int from, string named, string keyId)
    {
        var previous = from == 1 ? $"\"hash\":\"{new string('0', 64)}\"" : Lines(from - 1)[^1];
        for (var file = from; file <= 3; file++)
        {
            Change(file, lines =>
            {
                lines[0] = Previous().Replace(lines[0], $"\"previous\":\"{Hash().Match(previous).Groups[1].Value}\"");
                for (var line = 0; line < lines.Count; line++)
                    previous = lines[line] = Rehashed(previous, lines[line], named, keyId);
            });
        }
    }

    [GeneratedRegex("\"hash\":\"([0-9a-f]{64})\"")]
    private static partial Regex Hash();

    [GeneratedRegex("\"previous\":\"[0-9a-f]{64}\"")]
    private static partial Regex Previous();
}
