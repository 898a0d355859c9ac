namespace Sallyport.Storage.EventLog;

/// <summary>One thing in the log that is not as it was written.</summary>
/// <param name="Position">In bytes from the start of the file.</param>
/// <param name="What">One sentence.</param>
public sealed record LogProblem(string File, long Position, string What);

/// <summary>What was counted in one segment file.</summary>
/// <param name="FirstBatch">0 when it holds none, as a segment made ahead.</param>
/// <param name="Sealed">It has its footer.</param>
public sealed record SegmentVerification(string File, long FirstBatch, long LastBatch, long Batches, long Records, long Bytes, bool Sealed);

/// <summary>The outcome of <see cref="LogVerifier"/>.</summary>
/// <param name="TornBytes">Of a batch that was being written when the power went. Never acknowledged, so not a problem.</param>
/// <param name="Problems">In the order of the log; the first one is where to begin looking.</param>
public sealed record LogVerification(int Partitions, IReadOnlyList<SegmentVerification> Segments, long TornBytes, IReadOnlyList<LogProblem> Problems)
{
    /// <summary>Every batch is authentic, in its place, and none that was known is missing.</summary>
    public bool IsSound => Problems.Count == 0;

    public long Batches => Segments.Sum(segment => segment.Batches);

    public long Records => Segments.Sum(segment => segment.Records);
}

/// <summary>
/// Reads a log's directory that no hub has open, batch by batch, and tells whether it is what was written: checksums, MACs and their
/// chain over all segments, sequence numbers, times, footers, and the checkpointed head at both ends. It changes nothing.
/// </summary>
public sealed class LogVerifier
{
    private readonly LogDirectory _directory;
    private readonly BatchMacCheck _macs;
    private readonly List<LogProblem> _problems = [];
    private readonly Dictionary<(StreamId Stream, int Partition), long> _nextSequences = [];
    private readonly Dictionary<int, long> _lastTimesMs = [];
    private LogHead? _head;
    private int _partitions;
    private long _lastBatch;
    private byte[] _lastMac = [];
    private bool _lastIsKnown;
    private long _tornBytes;

    private LogVerifier(LogDirectory directory, BatchMacCheck macs)
    {
        _directory = directory;
        _macs = macs;
    }

    /// <summary>Verifies all of it; a problem does not end it.</summary>
    /// <param name="macKey">The key that the log was written with.</param>
    /// <param name="progress">Told after each segment.</param>
    /// <exception cref="LogFormatException">There is no log, it is of a newer version, or it was written with another key.</exception>
    /// <exception cref="IOException">A file cannot be read.</exception>
    public static Task<LogVerification> VerifyAsync(string directory, byte[] macKey, IProgress<SegmentVerification>? progress, CancellationToken cancel) =>
        Task.Run(() => Verify(new DiskFiles(directory, readOnly: true), macKey, progress, cancel), cancel);

    internal static LogVerification Verify(ILogFiles files, byte[] macKey, IProgress<SegmentVerification>? progress, CancellationToken cancel)
    {
        using var macs = new BatchMacCheck(macKey);
        return new LogVerifier(new LogDirectory(files, macKey), macs).Verify(progress, cancel);
    }

    private LogVerification Verify(IProgress<SegmentVerification>? progress, CancellationToken cancel)
    {
        _partitions = _directory.ReadFormat() ?? throw new LogFormatException("there is no event log in this directory");
        _head = _directory.ReadHead(out var headMissing);
        if (headMissing)
            _problems.Add(new LogProblem("head", 0, "the checkpointed head is damaged or missing"));

        var segments = new List<SegmentVerification>();
        foreach (var generation in _directory.Generations())
        {
            cancel.ThrowIfCancellationRequested();
            var verified = VerifySegment(generation, cancel);
            segments.Add(verified);
            progress?.Report(verified);
        }

        if (_head?.MissingAfter(_lastBatch) is > 0 and var missing)
            _problems.Add(new LogProblem(segments.Count == 0 ? "head" : segments[^1].File, 0, $"the log is truncated: batches {_head.LastBatch - missing + 1} to {_head.LastBatch} were on disk and are missing"));
        return new LogVerification(_partitions, segments, _tornBytes, _problems);
    }

    private SegmentVerification VerifySegment(ulong generation, CancellationToken cancel)
    {
        var segment = _directory.OpenSegment(generation);
        using var file = segment.File;
        if (!SegmentHeader.IsWhole(file, generation))
            Problem(segment, 0, "the segment's header is damaged");

        var footer = new LogSegment(generation, file);
        var isSealed = SegmentFooter.TryLoad(footer);
        var scan = new BatchScan(file, generation, isSealed ? footer.End : file.Length, _macs);
        var problemsBefore = _problems.Count;
        long batches = 0, records = 0;
        _tornBytes = 0;
        while (true)
        {
            cancel.ThrowIfCancellationRequested();
            if (scan.TryRead(_lastBatch + 1, out var batch))
            {
                VerifyPlace(segment, scan.Position, batch);
                records += VerifyRecords(segment, scan.Position, batch);
                batches++;
                scan.Advance(batch);
            }
            else if (!TryPassOver(segment, scan))
            {
                break;
            }
        }

        if (isSealed)
            VerifyFooter(segment, footer, scan.Position, _problems.Count > problemsBefore);
        return new SegmentVerification(segment.Name, segment.FirstBatch, segment.LastBatch, batches, records, segment.End - SegmentHeader.Length, isSealed);
    }

    private bool TryPassOver(LogSegment segment, BatchScan scan)
    {
        var position = scan.Position;
        if (!scan.TryResync(_lastBatch + 1))
        {
            _tornBytes = scan.BegunBytes();
            return false;
        }

        Problem(segment, position, $"batch {_lastBatch + 1} is not valid or not in its place; the next valid batch is {scan.Position - position} bytes further");
        _lastIsKnown = false;
        _nextSequences.Clear();
        return true;
    }

    private void VerifyPlace(LogSegment segment, long position, ReadOnlySpan<byte> batch)
    {
        var number = BatchFormat.Number(batch);
        if (_lastBatch == 0 && _head is not null && number > _head.FirstBatch)
            Problem(segment, position, $"batches {_head.FirstBatch} to {number - 1} are missing before it");
        if (_lastIsKnown && number != _lastBatch + 1)
        {
            Problem(segment, position, $"batches {_lastBatch + 1} to {number - 1} are missing before it");
            _nextSequences.Clear();
        }
        else if (_lastIsKnown && !BatchFormat.MacBefore(batch).SequenceEqual(_lastMac))
            Problem(segment, position, $"batch {number} does not continue batch {_lastBatch}");
        if (_head is not null && _head.LastBatch == number && !BatchFormat.Mac(batch).SequenceEqual(_head.LastMac))
            Problem(segment, position, $"batch {number} is not the one that the checkpointed head names");

        if (segment.FirstBatch == 0)
            segment.FirstBatch = number;
        segment.LastBatch = _lastBatch = number;
        segment.LastMac = _lastMac = BatchFormat.Mac(batch).ToArray();
        segment.End = position + BatchFormat.Align(batch.Length);
        _lastIsKnown = true;
    }

    private int VerifyRecords(LogSegment segment, long position, ReadOnlySpan<byte> batch)
    {
        var records = 0;
        for (var at = BatchFormat.HeaderLength; at < batch.Length; records++)
        {
            var record = batch[at..];
            var length = RecordHeader.TotalLength(record);
            if (record.Length < RecordHeader.Length || length < RecordHeader.Length || length > record.Length || RecordHeader.Partition(record) >= _partitions)
            {
                Problem(segment, position + at, $"record {records} of batch {_lastBatch} is malformed");
                return records;
            }

            VerifySequence(segment, position + at, record);
            at += length;
        }

        if (records != BatchFormat.Records(batch))
            Problem(segment, position, $"batch {_lastBatch} holds {records} records and says {BatchFormat.Records(batch)}");
        segment.AddBatch(position, batch);
        return records;
    }

    private void VerifySequence(LogSegment segment, long position, ReadOnlySpan<byte> record)
    {
        var key = (RecordHeader.Stream(record), RecordHeader.Partition(record));
        var (sequence, timeMs) = (RecordHeader.Sequence(record), RecordHeader.EnqueuedTimeMs(record));
        if (_nextSequences.TryGetValue(key, out var expected) && sequence != expected)
            Problem(segment, position, $"stream {key.Item1.Number} partition {key.Item2} goes on with sequence number {sequence}, expected {expected}");
        if (timeMs < _lastTimesMs.GetValueOrDefault(key.Item2))
            Problem(segment, position, $"the enqueued time of partition {key.Item2} goes back");
        _nextSequences[key] = sequence + 1;
        _lastTimesMs[key.Item2] = timeMs;
    }

    private void VerifyFooter(LogSegment segment, LogSegment footer, long scanned, bool damaged)
    {
        if (scanned < footer.End)
        {
            Problem(segment, scanned, $"batch {_lastBatch + 1} is not valid");
            _lastBatch = Math.Max(_lastBatch, footer.LastBatch);
            _lastIsKnown = false;
            _nextSequences.Clear();
            return;
        }

        _tornBytes = 0;
        var onDisk = new byte[footer.FooterLength];
        segment.File.Read(onDisk, segment.Bytes - onDisk.Length);
        if (!damaged && !SegmentFooter.Encode(segment).AsSpan().SequenceEqual(onDisk))
            Problem(segment, segment.Bytes - onDisk.Length, "the footer does not say what is in the segment");
    }

    private void Problem(LogSegment segment, long position, string what) => _problems.Add(new LogProblem(segment.Name, position, what));
}
