using Sallyport.Protocol.Amqp;
using static Sallyport.Bench.Native;

namespace Sallyport.Bench.Amqp;

/// <summary>
/// Readers of the built-in endpoint over a TLS connection each; events are counted by the size of their frames, not decoded. One thread owns
/// them: the caller's of <see cref="Run"/>.
/// </summary>
internal sealed unsafe class AmqpReaders : IDisposable
{
    /// <summary>Credit of one reader: the default prefetch of the Event Hubs client of Node.</summary>
    public const uint Prefetch = 1000;

    private const long TimerEvent = -1;
    private const int TicksPerSecond = 200;

    private readonly Reader[] _readers;
    private readonly int _epoll = Check(epoll_create1(0), "epoll_create1");
    private readonly int _perSecond;
    private readonly int _timer;

    /// <param name="partitions">A reader for each.</param>
    /// <param name="selector">Where they begin.</param>
    /// <param name="perSecond">How many events one of them takes a second; 0 for as many as come.</param>
    public AmqpReaders(Server hub, IReadOnlyList<int> partitions, string selector, int perSecond = 0)
    {
        _perSecond = perSecond;
        _readers = [.. partitions.Select((partition, i) => new Reader(AmqpClient.LogInOwner(hub, i), partition))];
        foreach (var reader in _readers)
        {
            reader.Client.Await(AmqpFrames.Begin);
            reader.Attach(selector);
            reader.Grant(perSecond == 0 ? Prefetch : 1);
        }

        for (var i = 0; i < _readers.Length; i++)
        {
            NonBlocking(_readers[i].Client.Descriptor);
            Watch(_epoll, _readers[i].Client.Descriptor, EPOLLIN, i);
        }

        _timer = Timer(1_000_000_000L / TicksPerSecond);
        if (perSecond > 0)
            Watch(_epoll, _timer, EPOLLIN, TimerEvent);
    }

    /// <summary>Events that came.</summary>
    public long Events => _readers.Sum(reader => reader.Events);

    /// <summary>What they weighed, frames included.</summary>
    public long Bytes => _readers.Sum(reader => reader.Bytes);

    /// <summary>Of one event of each read from a socket: from its enqueued time until it was read, in milliseconds. Cleared by who measures.</summary>
    public List<long> AgesMs { get; } = [];

    /// <summary>Reads until it is over.</summary>
    public void Run(CancellationToken over)
    {
        var events = stackalloc byte[EventSize * 64];
        while (!over.IsCancellationRequested)
        {
            var count = epoll_wait(_epoll, events, 64, 100);
            for (var i = 0; i < count; i++)
            {
                if (DataOf(events, i) == TimerEvent)
                    GrantMore();
                else
                    Read(_readers[(int)DataOf(events, i)]);
            }
        }
    }

    public void Dispose()
    {
        foreach (var reader in _readers)
            reader.Client.Dispose();
        close(_timer);
        close(_epoll);
    }

    private void GrantMore()
    {
        long ticks;
        read(_timer, &ticks, sizeof(long));
        foreach (var reader in _readers)
        {
            if (reader.Used > 0)
                reader.Grant((uint)(_perSecond / TicksPerSecond));
        }
    }

    private void Read(Reader reader)
    {
        reader.Client.Flush();
        while (reader.Client.Receive())
        {
            ReadOnlySpan<byte> last = default;
            while (reader.Client.TryTake(out var frame))
            {
                if (reader.Take(frame))
                    last = frame;
            }

            if (!last.IsEmpty)
                AgesMs.Add(AgeMs(last));
            if (_perSecond == 0 && reader.Used >= Prefetch / 2)
                reader.Grant(Prefetch);
        }
    }

    private static long AgeMs(ReadOnlySpan<byte> frame)
    {
        AmqpFrames.FieldsOf(frame, out var payload);
        return StoredMessage.TryRead(payload, out var message) && message.Annotations.TryFind("x-opt-enqueued-time"u8, out var enqueued)
            ? DateTimeOffset.UtcNow.ToUnixTimeMilliseconds() - enqueued.Signed
            : throw new IOException("an event without its enqueued time");
    }
}

/// <summary>One reader of one partition. Owned by one thread.</summary>
internal sealed class Reader(AmqpClient client, int partition)
{
    private uint _inSession;
    private uint _delivered;
    private uint _granted;

    public AmqpClient Client => client;

    public long Events { get; private set; }

    public long Bytes { get; private set; }

    /// <summary>Events since the last <see cref="Grant"/>.</summary>
    public uint Used => _delivered - _granted;

    /// <summary>Attaches the reader's link; on a blocking socket.</summary>
    public void Attach(string selector)
    {
        client.Send(AmqpFrames.AttachReceiver(0, $"events/ConsumerGroups/$Default/Partitions/{partition}", selector));
        client.AwaitAttach();
        (_delivered, _granted) = (0, 0);
    }

    /// <summary>Detaches it again; on a blocking socket, and with no event on its way.</summary>
    public void Detach()
    {
        client.Send(AmqpFrames.DetachLink(0));
        client.Await(AmqpFrames.Detach);
    }

    public void Grant(uint credit)
    {
        client.Send(AmqpFrames.Credit(0, _inSession, _delivered, credit));
        _granted = _delivered;
    }

    /// <summary>Counts a frame; true when it is an event.</summary>
    public bool Take(ReadOnlySpan<byte> frame)
    {
        var code = AmqpFrames.CodeOf(frame);
        if (code != AmqpFrames.Transfer)
        {
            AmqpClient.ThrowIfEnded(frame, code);
            return false;
        }

        _inSession++;
        _delivered++;
        Events++;
        Bytes += frame.Length;
        return true;
    }
}
