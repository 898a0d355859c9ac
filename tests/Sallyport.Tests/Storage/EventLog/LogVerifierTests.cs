using Sallyport.Storage.EventLog;

namespace Sallyport.Tests.Storage.EventLog;

public sealed class LogVerifierTests
{
    private readonly LogOnFaultyDisk _disk = new();
    private readonly List<int> _batchesAt = [];

    [Fact]
    public async Task Verify_LogAsWritten_IsSoundAndCounted()
    {
        var log = _disk.Open();
        log.KeepUp();
        var records = LogOnFaultyDisk.Fill(log, 3 * LogOnFaultyDisk.SegmentBytes);
        await log.DisposeAsync();
        log = _disk.Open();
        LogOnFaultyDisk.Commit(log, Records.Batch(1, "after another open", "twice"));
        await log.DisposeAsync();

        var verified = _disk.Verify();

        Assert.Empty(verified.Problems);
        Assert.Equal((records + 2L, records / 10 + 1L), (verified.Records, verified.Batches));
        Assert.True(verified.Segments[0].Sealed);
    }

    [Fact]
    public async Task Verify_BytesAlteredAndChecksumMended_IsAProblemAtThatBatch()
    {
        await WriteAsync();
        var segment = _disk.Files.Bytes(_disk.Segments[0]);
        var batch = segment.AsSpan(_batchesAt[1], BatchFormat.Length(segment.AsSpan(_batchesAt[1])));
        batch[^1] ^= 1;
        BitConverter.TryWriteBytes(batch[4..], BatchFormat.Crc32C(batch[8..]));

        Assert.Equal((_disk.Segments[0], _batchesAt[1]), (_disk.Verify().Problems[0].File, _disk.Verify().Problems[0].Position));
    }

    [Fact]
    public async Task Verify_BatchesReordered_IsAProblem()
    {
        await WriteAsync();
        var segment = _disk.Files.Bytes(_disk.Segments[0]);
        var second = segment[_batchesAt[1].._batchesAt[2]];
        segment.AsSpan(_batchesAt[2], second.Length).CopyTo(segment.AsSpan(_batchesAt[1]));
        second.CopyTo(segment, _batchesAt[2]);

        Assert.False(_disk.Verify().IsSound);
    }

    [Fact]
    public async Task Verify_BatchRemovedAndTheRestMovedUp_IsAProblem()
    {
        await WriteAsync();
        var segment = _disk.Files.Bytes(_disk.Segments[0]);
        segment.AsSpan(_batchesAt[2]).CopyTo(segment.AsSpan(_batchesAt[1]));

        Assert.Contains("missing", _disk.Verify().Problems[0].What, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Verify_BatchSplicedInFromAnotherHistory_IsAProblem()
    {
        await WriteAsync();
        var other = new LogOnFaultyDisk();
        await WriteAsync(other, "other");
        var segment = _disk.Files.Bytes(_disk.Segments[0]);
        var foreign = other.Files.Bytes(other.Segments[0]).AsSpan(_batchesAt[1], _batchesAt[2] - _batchesAt[1]);

        // Even with the right generation and checksum, which an attacker can write.
        segment.AsSpan(_batchesAt[1] + 40, 8).CopyTo(foreign[40..]);
        foreign.CopyTo(segment.AsSpan(_batchesAt[1]));
        BitConverter.TryWriteBytes(segment.AsSpan(_batchesAt[1] + 4), BatchFormat.Crc32C(segment.AsSpan(_batchesAt[1] + 8, BatchFormat.Length(foreign) - 8)));

        Assert.Equal(_batchesAt[1], _disk.Verify().Problems[0].Position);
    }

    [Fact]
    public async Task Verify_TailCutOff_IsToldByTheHead()
    {
        await WriteAsync();
        _disk.Files.Bytes(_disk.Segments[0]).AsSpan(_batchesAt[2]).Clear();

        Assert.Contains("truncated: batches 3 to 3", _disk.Verify().Problems.Single().What, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Verify_SegmentsRemoved_IsAProblemWhereverTheyWere()
    {
        var log = _disk.Open();
        log.KeepUp();
        LogOnFaultyDisk.Fill(log, 4 * LogOnFaultyDisk.SegmentBytes);
        await log.DisposeAsync();
        var segments = _disk.Segments;

        foreach (var removed in new[] { segments[0], segments[1], segments[^2] })
        {
            var bytes = _disk.Files.Bytes(removed);
            _disk.Files.Delete(removed);
            Assert.NotEmpty(_disk.Verify().Problems);
            using var restored = _disk.Files.Open(removed, create: true);
            restored.Write(bytes, 0);
        }

        Assert.True(_disk.Verify().IsSound);
    }

    [Fact]
    public async Task Verify_FooterThatLies_IsAProblem()
    {
        var log = _disk.Open();
        log.KeepUp();
        LogOnFaultyDisk.Fill(log, 2 * LogOnFaultyDisk.SegmentBytes);
        await log.DisposeAsync();
        var segment = _disk.Files.Bytes(_disk.Segments[0]);
        var length = BitConverter.ToInt32(segment, segment.Length - 64 + 44);
        var footer = segment.AsSpan(segment.Length - length);
        footer[8] ^= 1;
        BitConverter.TryWriteBytes(footer[^8..], BatchFormat.Crc32C(footer[..^8]));

        Assert.Contains("footer", _disk.Verify().Problems.Single().What, StringComparison.Ordinal);
    }

    [Fact]
    public void Verify_TornTail_IsCountedButNoProblem()
    {
        var log = _disk.Open();
        LogOnFaultyDisk.Commit(log, Records.Batch(0, "a"));
        var torn = (int)log.EndOfOpenSegment;
        LogOnFaultyDisk.Commit(log, Records.Batch(0, "torn"));
        _disk.Files.Damage(_disk.Segments[0], torn + 150, 0xee);

        var verified = _disk.Verify();

        Assert.Empty(verified.Problems);
        Assert.True(verified.TornBytes > 0);
    }

    [Fact]
    public async Task Verify_WithAnotherKey_IsRefused()
    {
        await WriteAsync();
        _disk.Key = [.. Enumerable.Repeat((byte)7, 32)];

        Assert.Throws<LogFormatException>(_disk.Verify);
    }

    [Fact]
    public async Task VerifyAsync_DirectoryOnDisk_ChangesNothing()
    {
        var directory = Directory.CreateTempSubdirectory("sallyport-log-");
        try
        {
            var options = new SegmentLogOptions { Directory = directory.FullName, SegmentBytes = 1024 * 1024, CommitBufferBytes = 64 * 1024, ReserveBytes = 0 };
            await using (var log = await SegmentLog.OpenAsync(options, new byte[32], TimeProvider.System, new LoggedEvents()))
                await log.CommitAsync(Records.Batch(0, "a"));
            var before = directory.EnumerateFiles().ToDictionary(file => file.Name, file => Convert.ToHexString(System.Security.Cryptography.SHA256.HashData(File.ReadAllBytes(file.FullName))));

            var verified = await LogVerifier.VerifyAsync(directory.FullName, new byte[32], null, TestContext.Current.CancellationToken);

            Assert.True(verified.IsSound);
            Assert.Equal(1, verified.Records);
            Assert.Equal(before, directory.EnumerateFiles().ToDictionary(file => file.Name, file => Convert.ToHexString(System.Security.Cryptography.SHA256.HashData(File.ReadAllBytes(file.FullName)))));
        }
        finally
        {
            directory.Delete(recursive: true);
        }
    }

    private async Task WriteAsync(LogOnFaultyDisk? disk = null, string text = "texts")
    {
        var log = (disk ?? _disk).Open();
        foreach (var i in new[] { 1, 2, 3 })
        {
            if (disk is null)
                _batchesAt.Add((int)log.EndOfOpenSegment);
            LogOnFaultyDisk.Commit(log, Records.Batch(0, $"{text} {i}"));
        }

        await log.DisposeAsync();
    }
}
