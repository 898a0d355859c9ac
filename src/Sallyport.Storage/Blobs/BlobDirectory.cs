using System.Globalization;
using System.Text;

namespace Sallyport.Storage.Blobs;

/// <summary>
/// The directory of one upload: parts that were put (<c>b-NUMBER-ID</c>, <c>w-NUMBER</c>), manifests that say of which of them a file is made
/// (<c>m-NUMBER</c>), and what is being written (<c>t-NUMBER</c>). Numbers are eight hex digits and given by whoever writes. A part is never
/// changed once it has its name. Thread-safe, as far as nobody uses a number twice.
/// </summary>
public sealed class BlobDirectory(string path)
{
    private const string Header = "sallyport-blob 1";
    private const int CopyBytes = 64 * 1024;
    private const int UnknownFailure = unchecked((int)0x80131620);
    private const int DiskFull = 28; // ENOSPC

    /// <summary>Highest number used in it, and how many parts there are that are no body put whole, with their bytes.</summary>
    public (long Number, int Blocks, long Bytes) Survey()
    {
        var (number, blocks, bytes) = (0L, 0, 0L);
        foreach (var file in Files())
        {
            number = Math.Max(number, NumberOf(file.Name));
            if (file.Name[0] is not ('b' or 'w'))
                continue;
            blocks++;
            bytes += file.Length;
        }

        return (number, blocks, bytes);
    }

    /// <summary>Blocks that were put, in no order; several of one id when it was put again.</summary>
    public IReadOnlyList<BlobPart> ListBlocks() =>
        [.. Files().Where(file => file.Name[0] == 'b').Select(file => new BlobPart(file.Name, file.Name[11..], NumberOf(file.Name), file.Length))];

    /// <summary>Begins to write a part, which has this number until it is kept. Makes the directory when it is missing.</summary>
    /// <param name="bytes">How many there will be: the disk is asked for them at once.</param>
    /// <exception cref="IOException">The disk is full, or fails.</exception>
    public BlobWriter Write(long number, long bytes)
    {
        Make();
        try
        {
            return new BlobWriter(path, number, bytes);
        }
        catch (IOException full) when (full.HResult == UnknownFailure && new DriveInfo(path).AvailableFreeSpace < bytes)
        {
            throw new IOException(full.Message, DiskFull); // .NET says it in words only.
        }
    }

    /// <summary>Writes a manifest; durable when it returns.</summary>
    /// <returns>Its name.</returns>
    public string WriteManifest(long number, IReadOnlyList<BlobPart> parts)
    {
        Make();
        var text = new StringBuilder(Header).Append('\n');
        foreach (var part in parts)
            text.Append(CultureInfo.InvariantCulture, $"{part.Bytes} {part.Name}\n");
        var name = $"m-{number:x8}";
        PrivateFile.Replace(Path.Combine(path, name), Encoding.ASCII.GetBytes(text.ToString()));
        return name;
    }

    /// <summary>The number that a manifest has: what is numbered below and is not in it was dropped with it.</summary>
    public static long NumberOfManifest(string name) => NumberOf(name);

    /// <summary>The parts of a file, in their order.</summary>
    /// <exception cref="IOException">It is not there, or damaged.</exception>
    public IReadOnlyList<BlobPart> ReadManifest(string name)
    {
        var lines = File.ReadAllLines(Path.Combine(path, name), Encoding.ASCII);
        if (lines is not [Header, ..])
            throw new IOException($"the manifest {name} is damaged");
        return [.. lines.Skip(1).Select(line => Part(line) ?? throw new IOException($"the manifest {name} is damaged"))];
    }

    /// <summary>Writes a range of a file into a stream.</summary>
    /// <exception cref="IOException">A part is not there any more, or is shorter than it was.</exception>
    public async Task CopyToAsync(IReadOnlyList<BlobPart> parts, long from, long count, Stream target, CancellationToken cancel)
    {
        var buffer = new byte[CopyBytes];
        foreach (var part in parts)
        {
            if (count == 0)
                return;
            if (from >= part.Bytes)
            {
                from -= part.Bytes;
                continue;
            }

            using var file = File.OpenHandle(Path.Combine(path, part.Name), options: FileOptions.SequentialScan);
            for (var end = Math.Min(part.Bytes, from + count); from < end;)
            {
                var read = await RandomAccess.ReadAsync(file, buffer.AsMemory(0, (int)Math.Min(buffer.Length, end - from)), from, cancel).ConfigureAwait(false);
                if (read == 0)
                    throw new IOException($"the part {part.Name} is shorter than it was");
                await target.WriteAsync(buffer.AsMemory(0, read), cancel).ConfigureAwait(false);
                (from, count) = (from + read, count - read);
            }

            from = 0;
        }
    }

    /// <summary>Deletes every part and manifest below a number but those of one file.</summary>
    /// <param name="manifest">Of that file; null when there is none.</param>
    /// <param name="below">What is numbered so or higher stays.</param>
    /// <param name="isIdle">Nothing is being written: what was begun goes as well.</param>
    public void Clean(string? manifest, long below, bool isIdle)
    {
        if (!Directory.Exists(path))
            return;
        if (manifest is null && isIdle)
        {
            Directory.Delete(path, recursive: true);
            return;
        }

        HashSet<string> kept = manifest is null ? [] : [manifest, .. ReadManifest(manifest).Select(part => part.Name)];
        foreach (var file in Files())
        {
            if (!kept.Contains(file.Name) && NumberOf(file.Name) < below && (isIdle || file.Name[0] != 't'))
                file.Delete();
        }
    }

    private void Make()
    {
        if (Directory.Exists(path))
            return;
        Directory.CreateDirectory(path, PrivateFile.DirectoryMode);
        Posix.SyncDirectory(Path.GetDirectoryName(path)!);
    }

    private IEnumerable<FileInfo> Files() => Directory.Exists(path) ? new DirectoryInfo(path).EnumerateFiles("?-????????*") : [];

    private static long NumberOf(string name) => long.TryParse(name.AsSpan(2, 8), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var number) ? number : 0;

    private static BlobPart? Part(string line)
    {
        var space = line.IndexOf(' ', StringComparison.Ordinal);
        if (space < 1 || !long.TryParse(line.AsSpan(0, space), NumberStyles.None, CultureInfo.InvariantCulture, out var bytes))
            return null;

        var name = line[(space + 1)..];
        if (name.Length < 10 || name[0] is not ('b' or 'w') || name.Contains('/', StringComparison.Ordinal))
            return null;
        return new BlobPart(name, name.Length > 11 ? name[11..] : "", NumberOf(name), bytes);
    }
}

/// <summary>A part that is being written: nobody sees it before <see cref="KeepAsBlockAsync"/> or <see cref="KeepWholeAsync"/>; disposed without one of them, it is gone. Used by one caller at a time.</summary>
public sealed class BlobWriter : IDisposable
{
    // So many syncs at a time: each holds a thread, and the log's own wait behind them.
    private static readonly SemaphoreSlim Syncs = new(4);

    private readonly string _directory;
    private readonly FileStream _file;
    private bool _isKept;

    internal BlobWriter(string directory, long number, long bytes)
    {
        _directory = directory;
        _file = new FileStream(Path.Combine(directory, $"t-{number:x8}"), new FileStreamOptions
        {
            Mode = FileMode.Create,
            Access = FileAccess.Write,
            BufferSize = 0,
            PreallocationSize = bytes,
            UnixCreateMode = PrivateFile.Mode,
        });
    }

    public long Written { get; private set; }

    public async ValueTask WriteAsync(ReadOnlyMemory<byte> data, CancellationToken cancel)
    {
        await RandomAccess.WriteAsync(_file.SafeFileHandle, data, Written, cancel).ConfigureAwait(false);
        Written += data.Length;
    }

    /// <summary>Makes it a block; durable when it completes.</summary>
    /// <param name="next">Gives its number, once it is whole: blocks are in the order in which they were put, not begun.</param>
    /// <param name="blockId">Hex.</param>
    public Task<BlobPart> KeepAsBlockAsync(Func<long> next, string blockId) => KeepAsync(next, 'b', blockId);

    /// <summary>Makes it a body that was put whole; durable when it completes.</summary>
    /// <param name="next">Gives its number.</param>
    public Task<BlobPart> KeepWholeAsync(Func<long> next) => KeepAsync(next, 'w', "");

    public void Dispose()
    {
        _file.Dispose();
        if (!_isKept)
            File.Delete(_file.Name);
    }

    private async Task<BlobPart> KeepAsync(Func<long> next, char kind, string blockId)
    {
        BlobPart part;
        await Syncs.WaitAsync().ConfigureAwait(false);
        try
        {
            part = await Task.Run(() =>
            {
                RandomAccess.FlushToDisk(_file.SafeFileHandle);
                Posix.DropPages(_file.SafeFileHandle, 0, Written); // Nobody reads it soon; what the log has in memory is worth more.
                var number = next();
                var name = blockId.Length == 0 ? $"{kind}-{number:x8}" : $"{kind}-{number:x8}-{blockId}";
                File.Move(_file.Name, Path.Combine(_directory, name), overwrite: false);
                Posix.SyncDirectory(_directory);
                return new BlobPart(name, blockId, number, Written);
            }).ConfigureAwait(false);
        }
        finally
        {
            Syncs.Release();
        }

        _isKept = true;
        return part;
    }
}
