using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Sallyport.Storage.EventLog;

namespace Sallyport.Tests.Storage.EventLog;

/// <summary>
/// One seeded life of a log: it is written to, crashes in any operation, is opened again, some times over. After each opening it must hold
/// what was appended, in that order, up to a point that is not before what was acknowledged or already read: nothing lost,
/// nothing invented, nothing reported damaged that is not. The log runs without threads, so a seed repeats exactly.
/// </summary>
internal sealed class FaultRun
{
    private const int Partitions = 2;

    private readonly int _seed;
    private readonly Random _random;
    private readonly FaultFiles _files;
    private readonly Func<ILogFiles, ILogFiles> _mutate;
    private readonly FakeTimeProvider _time = new();
    private readonly SegmentLogOptions _options;

    // All ever appended and not known to be lost, by sequence number; how many of them must be there.
    private readonly Dictionary<(StreamId Stream, int Partition), (List<string> Texts, int Safe)> _expected = [];
    private readonly List<(long Position, StreamId Stream, int Partition, int Count)> _unacknowledged = [];
    private int _texts;

    private FaultRun(int seed, Func<ILogFiles, ILogFiles> mutate)
    {
        _seed = seed;
        _random = new Random(seed);
        _files = new FaultFiles(_random);
        _mutate = mutate;
        _options = new SegmentLogOptions
        {
            Directory = "memory",
            PartitionCount = Partitions,
            SegmentBytes = 32 * 1024,
            CommitBufferBytes = 16 * 1024,
            RetentionBytes = _random.Next(3) == 0 ? 128 * 1024 : 1024 * 1024 * 1024,
            MaxHeldBytes = 0,
            ReserveBytes = 0,
        };
    }

    /// <exception cref="FaultRunException">A promise was broken; the message has the seed.</exception>
    public static async Task RunAsync(int seed, Func<ILogFiles, ILogFiles>? mutate = null)
    {
        var run = new FaultRun(seed, mutate ?? (files => files));
        for (var lives = run._random.Next(1, 6); lives > 0; lives--)
            await run.LiveAsync();

        // The last word, on a disk that works.
        run._files.CapacityBytes = long.MaxValue;
        var log = run.Open();
        await run.CheckAsync(log);
        await log.DisposeAsync();
    }

    private SegmentLog Open()
    {
        var log = SegmentLog.Open(_options, new byte[32], _time, NullLogger.Instance, _mutate(_files));
        log.BeginRetention();
        return log;
    }

    private async Task LiveAsync()
    {
        PlanFault();
        SegmentLog? log = null;
        try
        {
            log = Open();
        }
        catch (IOException)
        {
            // The fault came while opening; there is nothing to write to in this life.
        }

        if (log is not null)
        {
            await CheckAsync(log);
            await WriteAsync(log);
            if (_random.Next(4) == 0)
                await log.DisposeAsync();
        }

        // Killed, or without power. What was on its way may be there or not.
        if (_random.Next(4) == 0)
            _files.Restart();
        else
            _files.RestartAfterPowerCut();
        _unacknowledged.Clear();
    }

    private void PlanFault()
    {
        _files.CapacityBytes = _random.Next(4) == 0 ? _random.Next(64, 512) * 1024 : long.MaxValue;
        switch (_random.Next(4))
        {
            case 0:
                _files.FailAt = _random.Next(1, 300);
                break;
            case 1 or 2:
                _files.PowerCutAt = _random.Next(1, 300);
                break;
            default:
                break;
        }
    }

    private async Task WriteAsync(SegmentLog log)
    {
        for (var step = _random.Next(100); step > 0 && !log.Failure.IsCompleted; step--)
        {
            _time.AdjustTime(_time.GetUtcNow().AddMilliseconds(_random.Next(-1000, 5000)));
            switch (_random.Next(5))
            {
                case 0:
                    log.KeepUp();
                    break;
                case 1:
                    log.CommitPending();
                    break;
                default:
                    await AppendAsync(log);
                    break;
            }

            Acknowledge(log);
        }
    }

    private async Task AppendAsync(SegmentLog log)
    {
        var partition = _random.Next(Partitions);
        var stream = _random.Next(5) == 0 ? StreamId.Changes : StreamId.Events;
        var count = _random.Next(1, 5);
        var batch = new RecordBatch();
        var texts = new string[count];
        for (var i = 0; i < count; i++)
            batch.Record(stream, partition, texts[i] = $"{_texts++}:{new string('x', _random.Next(1500))}");

        var append = log.AppendAsync(batch, null, CancellationToken.None);
        while (!append.IsCompleted)
        {
            // The buffer is full, or the next segment is not made yet: what its threads would do.
            log.CommitPending();
            log.KeepUp();
        }

        var result = await append;
        if (result.Outcome != AppendOutcome.Accepted)
            return;

        if (!_expected.TryGetValue((stream, partition), out var expected))
            expected = ([], 0);
        expected.Texts.AddRange(texts);
        _expected[(stream, partition)] = expected;
        _unacknowledged.Add((result.Position, stream, partition, expected.Texts.Count));
    }

    private void Acknowledge(SegmentLog log)
    {
        foreach (var append in _unacknowledged.Where(append => append.Position <= log.CommittedPosition(append.Partition)))
            _expected[(append.Stream, append.Partition)] = (_expected[(append.Stream, append.Partition)].Texts, append.Count);
        _unacknowledged.RemoveAll(append => append.Position <= log.CommittedPosition(append.Partition));
    }

    private async Task CheckAsync(SegmentLog log)
    {
        if (log.Recovery.MissingBatches > 0 || log.Quarantined.Count > 0)
            throw Broken($"reported damage that is none: {log.Recovery.MissingBatches} missing, {string.Join("; ", log.Quarantined)}");

        foreach (var (key, (texts, safe)) in _expected.ToArray())
        {
            var state = log.Describe(key.Stream, key.Partition);
            if (state.NextSequence < safe)
                throw Broken($"{key}: {safe} records were acknowledged or read, {state.NextSequence} are left");
            if (state.NextSequence > texts.Count)
                throw Broken($"{key}: {texts.Count} records were appended, {state.NextSequence} are there");

            using var cursor = log.OpenCursor(key.Stream, key.Partition, LogStart.Earliest);
            var next = state.FirstSequence;
            var time = DateTimeOffset.MinValue;
            foreach (var record in await cursor.DrainAsync(pageBytes: 8 * 1024))
            {
                if (record.Sequence != next || record.Text() != texts[(int)next] || record.EnqueuedTime < time)
                    throw Broken($"{key}: record {record.Sequence} is not the one appended as {next}, or is earlier than the one before it");
                time = record.EnqueuedTime;
                next++;
            }

            if (next != state.NextSequence)
                throw Broken($"{key}: records from {next} to {state.NextSequence - 1} cannot be read");

            // What did not survive never comes back, and what was read once stays.
            texts.RemoveRange((int)next, texts.Count - (int)next);
            _expected[key] = (texts, (int)next);
        }
    }

    private FaultRunException Broken(string what) => new($"seed {_seed}: {what}");
}

internal sealed class FaultRunException(string message) : Exception(message);
