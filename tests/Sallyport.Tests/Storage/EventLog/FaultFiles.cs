using Sallyport.Storage.EventLog;

namespace Sallyport.Tests.Storage.EventLog;

/// <summary>
/// A disk in memory that does what disks do when the power goes: of what was not synced, each 4 KiB page is there, or not, or half of
/// its 512-byte sectors are; file lengths and names that were not synced may be gone. It also fails writes and syncs on demand, and
/// runs out of space. Names follow the order they were made in, as journals of file systems keep it; pages follow none.
/// </summary>
internal sealed class FaultFiles(Random random) : ILogFiles
{
    private const int PageBytes = 4096;
    private const int SectorBytes = 512;
    private const int FillStepBytes = 64 * 1024;

    private readonly List<Action<Dictionary<string, Content>>> _unsyncedNames = [];
    private Dictionary<string, Content> _names = [];
    private Dictionary<string, Content> _durableNames = [];
    private int _operations;

    /// <summary>The operation (write, sync, or change of a name) in which the power goes; from then on everything fails.</summary>
    public int PowerCutAt { get; set; } = int.MaxValue;

    /// <summary>The operation that fails with EIO.</summary>
    public int FailAt { get; set; } = int.MaxValue;

    /// <summary>Of the whole disk.</summary>
    public long CapacityBytes { get; set; } = long.MaxValue;

    public int Operations => _operations;

    public int Reads { get; private set; }

    public long FreeBytes => CapacityBytes - _names.Values.Sum(content => content.Length);

    /// <summary>The process was killed; the kernel still has everything. Nothing fails from now on.</summary>
    public void Restart()
    {
        _operations = 0;
        PowerCutAt = FailAt = int.MaxValue;
    }

    /// <summary>The power went and came back.</summary>
    public void RestartAfterPowerCut()
    {
        foreach (var change in _unsyncedNames.Take(random.Next(_unsyncedNames.Count + 1)))
            change(_durableNames);
        _unsyncedNames.Clear();
        _names = new(_durableNames);
        foreach (var content in _names.Values)
            content.LosePower(random);
        Restart();
    }

    public IReadOnlyList<string> List() => [.. _names.Keys];

    public ILogFile Open(string name, bool create)
    {
        if (!_names.TryGetValue(name, out var content))
        {
            if (!create)
                throw new FileNotFoundException(name);
            content = new Content();
            ChangeNames(names => names[name] = content);
        }

        return new FaultFile(this, content);
    }

    public void Rename(string from, string to) => ChangeNames(names =>
    {
        if (names.Remove(from, out var content))
            names[to] = content;
    });

    public void Delete(string name) => ChangeNames(names => names.Remove(name));

    public void SyncDirectory()
    {
        Operate();
        _unsyncedNames.Clear();
        _durableNames = new(_names);
    }

    /// <summary>What is in a file now, to be changed by a test.</summary>
    public byte[] Bytes(string name) => _names[name].Live;

    /// <summary>Changes a file behind the log's back, on disk too.</summary>
    public void Damage(string name, int position, params byte[] bytes)
    {
        bytes.CopyTo(_names[name].Live, position);
        bytes.CopyTo(_names[name].Durable, position);
    }

    private void ChangeNames(Action<Dictionary<string, Content>> change)
    {
        Operate();
        change(_names);
        _unsyncedNames.Add(change);
    }

    private void Operate(Action? lastGasp = null)
    {
        _operations++;
        if (_operations == PowerCutAt)
            lastGasp?.Invoke();
        if (_operations >= PowerCutAt)
            throw new IOException("the power is off");
        if (_operations == FailAt)
            throw new IOException("input/output error", hresult: 5);
    }

    private sealed class Content
    {
        private readonly HashSet<int> _dirty = [];

        public byte[] Live { get; private set; } = [];

        public byte[] Durable { get; private set; } = [];

        public int Length => Live.Length;

        public void Write(ReadOnlySpan<byte> bytes, long position)
        {
            var end = (int)position + bytes.Length;
            if (end > Live.Length)
                Live = Grown(Live, end);
            bytes.CopyTo(Live.AsSpan((int)position));
            for (var page = (int)position / PageBytes; page * PageBytes < end; page++)
                _dirty.Add(page);
        }

        public void Sync()
        {
            if (Durable.Length < Live.Length)
                Durable = Grown(Durable, Live.Length);
            foreach (var page in _dirty)
                Page(Live, page).CopyTo(Page(Durable, page));
            _dirty.Clear();
        }

        /// <summary>What Linux does: the pages count as clean afterwards and stay readable, whether they reached the disk or not.</summary>
        public void FailToSync(Random random)
        {
            if (Durable.Length < Live.Length)
                Durable = Grown(Durable, Live.Length);
            foreach (var page in _dirty.Where(_ => random.Next(2) == 0))
                Page(Live, page).CopyTo(Page(Durable, page));
            _dirty.Clear();
        }

        public void LosePower(Random random)
        {
            foreach (var page in _dirty.Order().ToArray())
            {
                var fate = random.Next(3);
                if (fate == 0)
                    continue;
                if ((page + 1) * PageBytes > Durable.Length)
                    Durable = Grown(Durable, Math.Min(Live.Length, (page + 1) * PageBytes));
                var from = Page(Live, page);
                var to = Page(Durable, page);
                for (var sector = 0; sector < to.Length; sector += SectorBytes)
                {
                    if (fate == 1 || random.Next(2) == 0)
                        from.Slice(sector, Math.Min(SectorBytes, to.Length - sector)).CopyTo(to[sector..]);
                }
            }

            _dirty.Clear();
            Live = [.. Durable];
        }

        private static Span<byte> Page(byte[] bytes, int page) => bytes.AsSpan(page * PageBytes, Math.Min(PageBytes, bytes.Length - page * PageBytes));

        private static byte[] Grown(byte[] bytes, int length)
        {
            Array.Resize(ref bytes, length);
            return bytes;
        }
    }

    private sealed class FaultFile(FaultFiles files, Content content) : ILogFile
    {
        public long Length => content.Length;

        public int Read(Span<byte> buffer, long position)
        {
            files.Reads++;
            var count = (int)Math.Clamp(content.Length - position, 0, buffer.Length);
            content.Live.AsSpan((int)position, count).CopyTo(buffer);
            return count;
        }

        public void Write(ReadOnlySpan<byte> bytes, long position)
        {
            var copy = bytes.ToArray();
            files.Operate(() => content.Write(copy, position));
            var growth = position + bytes.Length - content.Length;
            if (growth > 0 && growth > files.FreeBytes)
                throw new IOException("no space left on device", hresult: 28);
            content.Write(bytes, position);
        }

        public void Fill(int bytes)
        {
            for (var at = 0; at < bytes; at += FillStepBytes)
            {
                Write(new byte[Math.Min(FillStepBytes, bytes - at)], at);
                Sync();
            }
        }

        public void Sync()
        {
            try
            {
                files.Operate();
            }
            catch (IOException error) when (error.HResult == 5)
            {
                content.FailToSync(files.Random);
                throw;
            }

            content.Sync();
        }

        public void Forget(long position, long length)
        {
            // All of it is in memory.
        }

        public void Dispose()
        {
            // Nothing is held open in memory.
        }
    }

    private Random Random => random;
}
