using System.Runtime.InteropServices;

namespace Sallyport.Storage.EventLog;

/// <summary>
/// The few things the log asks of a file system, in one directory, by plain name: <see cref="DiskFiles"/> does them;
/// the tests put a layer here that loses, reorders and tears what was not synced. Thread-safe.
/// </summary>
internal interface ILogFiles
{
    /// <summary>Bytes the disk has left for us.</summary>
    long FreeBytes { get; }

    IReadOnlyList<string> List();

    /// <summary>Opens for reading and writing.</summary>
    /// <exception cref="FileNotFoundException">It is not there and <paramref name="create"/> is false.</exception>
    ILogFile Open(string name, bool create);

    /// <summary>Replaces <paramref name="to"/>. Durable only after <see cref="SyncDirectory"/>.</summary>
    void Rename(string from, string to);

    void Delete(string name);

    /// <summary>Makes the creations, renames and deletions up to now durable.</summary>
    void SyncDirectory();
}

/// <summary>One open file. Thread-safe for different ranges.</summary>
internal interface ILogFile : IDisposable
{
    long Length { get; }

    /// <summary>Reads until the buffer is full or the file ends; returns how much. There is no other form: one that is awaited blocks a thread of the pool all the same, and wakes another for it.</summary>
    int Read(Span<byte> buffer, long position);

    void Write(ReadOnlySpan<byte> bytes, long position);

    /// <summary>Makes a new file so many zeroes long, a multiple of 4096; they are on disk when it returns.</summary>
    void Fill(int bytes);

    /// <summary>What was written is on disk when it returns.</summary>
    void Sync();

    /// <summary>Nobody is expected to read this range soon: its pages need not be kept in memory. What is not synced stays.</summary>
    void Forget(long position, long length);
}

internal sealed class DiskFiles : ILogFiles
{
    private readonly string _directory;
    private readonly bool _readOnly;

    /// <param name="readOnly">Changes nothing; for looking at a directory that must stay as it is.</param>
    public DiskFiles(string directory, bool readOnly = false)
    {
        _readOnly = readOnly;
        if (!readOnly)
            Directory.CreateDirectory(directory, PrivateFile.DirectoryMode);
        _directory = Path.GetFullPath(directory);
    }

    public long FreeBytes => new DriveInfo(_directory).AvailableFreeSpace;

    public IReadOnlyList<string> List() => [.. Directory.EnumerateFiles(_directory).Select(path => Path.GetFileName(path))];

    public ILogFile Open(string name, bool create) => new DiskFile(Path.Combine(_directory, name), create, _readOnly);

    public void Rename(string from, string to) => File.Move(Path.Combine(_directory, from), Path.Combine(_directory, to), overwrite: true);

    public void Delete(string name) => File.Delete(Path.Combine(_directory, name));

    public void SyncDirectory() => Posix.SyncDirectory(_directory);

    private sealed class DiskFile : ILogFile
    {
        // Commits beside it wait for one step at most.
        private const int FillStepBytes = 1024 * 1024;

        private readonly FileStream _file;

        public DiskFile(string path, bool create, bool readOnly)
        {
            var options = new FileStreamOptions
            {
                Mode = create ? FileMode.OpenOrCreate : FileMode.Open,
                Access = readOnly ? FileAccess.Read : FileAccess.ReadWrite,
                Share = FileShare.ReadWrite | FileShare.Delete,
                BufferSize = 0,
            };
            if (create)
                options.UnixCreateMode = PrivateFile.Mode;
            _file = new FileStream(path, options);
        }

        public long Length => RandomAccess.GetLength(_file.SafeFileHandle);

        public int Read(Span<byte> buffer, long position)
        {
            var total = 0;
            while (total < buffer.Length)
            {
                var read = RandomAccess.Read(_file.SafeFileHandle, buffer[total..], position + total);
                if (read == 0)
                    break;
                total += read;
            }

            return total;
        }

        public void Write(ReadOnlySpan<byte> bytes, long position) => RandomAccess.Write(_file.SafeFileHandle, bytes, position);

        // Past the page cache where the file system can: zeroes that nobody reads pushed out what somebody does, and finding pages for
        // them was a third of the server's CPU in a burst (docs/benchmarks.md).
        public void Fill(int bytes)
        {
            var buffer = GC.AllocateArray<byte>(FillStepBytes + Posix.DirectAlignment, pinned: true);
            var aligned = (int)(-Marshal.UnsafeAddrOfPinnedArrayElement(buffer, 0) & (Posix.DirectAlignment - 1));
            var zeroes = buffer.AsSpan(aligned, FillStepBytes);
            using var direct = Posix.TryOpenDirect(_file.Name);
            for (var at = 0; at < bytes; at += FillStepBytes)
            {
                var step = zeroes[..Math.Min(FillStepBytes, bytes - at)];
                RandomAccess.Write(direct ?? _file.SafeFileHandle, step, at);
                if (direct is null)
                    Sync();
            }

            Sync();
        }

        public void Sync() => RandomAccess.FlushToDisk(_file.SafeFileHandle);

        public void Forget(long position, long length) => Posix.DropPages(_file.SafeFileHandle, position, length);

        public void Dispose() => _file.Dispose();
    }
}
