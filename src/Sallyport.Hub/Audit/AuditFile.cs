using System.Buffers;
using System.Globalization;
using Microsoft.Win32.SafeHandles;
using Sallyport.Storage;

namespace Sallyport.Hub.Audit;

/// <summary>
/// The newest file of the trail, and the step to the next one (<c>docs/formats/audit.md</c>). Owned by the one loop that writes.
/// What was ever written is never changed: a file whose end cannot be read is left as it is and followed by the next.
/// </summary>
internal sealed class AuditFile : IDisposable
{
    private readonly string _directory;
    private readonly long _maxBytes;
    private readonly ArrayBufferWriter<byte> _pending = new();
    private int _number;
    private SafeFileHandle _handle;
    private long _length;
    private long _nextSequence;
    private long _pendingRecords;
    private Exception? _failure;

    // Nothing but the first line is in it: however long the next entries are, they go there.
    private bool _isNew;

    private AuditFile(string directory, long maxBytes, int number, SafeFileHandle handle, long length, long nextSequence)
    {
        _directory = directory;
        _maxBytes = maxBytes;
        _number = number;
        _handle = handle;
        _length = length;
        _nextSequence = nextSequence;
    }

    /// <summary>The name of the file before this one when it had lines that could not be read; else null.</summary>
    public string? Unreadable { get; private init; }

    /// <exception cref="UnusableDataException">The newest file is of a newer format or is not an audit file.</exception>
    public static AuditFile Open(string directory, long maxBytes)
    {
        Directory.CreateDirectory(directory, PrivateFile.DirectoryMode);
        var newest = Directory.EnumerateFiles(directory, "audit-????????.jsonl").Max(StringComparer.Ordinal);
        if (newest is null)
            return StartNew(directory, maxBytes, 1, nextSequence: 1, unreadable: null);

        var number = NumberOf(newest);
        var (lastSequence, isWhole) = AuditLine.Scan(newest);
        if (!isWhole)
            return StartNew(directory, maxBytes, number + 1, lastSequence + 1, Path.GetFileName(newest));

        var handle = OpenForAppend(newest);
        return new AuditFile(directory, maxBytes, number, handle, RandomAccess.GetLength(handle), lastSequence + 1);
    }

    /// <summary>Puts an entry after those that wait for <see cref="Commit"/>.</summary>
    public void Add(AuditEntry entry, long count, DateTimeOffset time) =>
        AuditLine.Write(_pending, entry, count, time, _nextSequence + _pendingRecords++);

    /// <summary>Writes what was added and makes it durable; when it throws, none of it counts as written: <see cref="Abandon"/> it.</summary>
    /// <exception cref="IOException">It could not be written, or an earlier sync failed.</exception>
    public void Commit()
    {
        if (_failure is not null)
            throw new IOException("the audit trail failed before", _failure);
        if (_length + _pending.WrittenCount > _maxBytes && !_isNew)
            Rotate();

        Append(_pending.WrittenSpan);
        _length += _pending.WrittenCount;
        _nextSequence += _pendingRecords;
        Abandon();
    }

    /// <summary>Forgets what was added and not committed.</summary>
    public void Abandon()
    {
        _pending.ResetWrittenCount();
        _pendingRecords = 0;
    }

    public void Dispose() => _handle.Dispose();

    private void Append(ReadOnlySpan<byte> lines)
    {
        try
        {
            RandomAccess.Write(_handle, lines, _length);
        }
        catch (IOException)
        {
            // A full disk took a part: the next entries start where these did.
            Irrevocably(() => RandomAccess.SetLength(_handle, _length));
            throw;
        }

        Irrevocably(() => RandomAccess.FlushToDisk(_handle));
        _isNew = false;
    }

    /// <summary>After a failure here nobody knows what is on disk: nothing more is written.</summary>
    private void Irrevocably(Action act)
    {
        try
        {
            act();
        }
        catch (Exception failure)
        {
            _failure = failure;
            throw;
        }
    }

    private void Rotate()
    {
        var (handle, length) = Create(_directory, _number + 1, _nextSequence);
        _handle.Dispose();
        (_handle, _length, _isNew) = (handle, length, true);
        _number++;
    }

    private static AuditFile StartNew(string directory, long maxBytes, int number, long nextSequence, string? unreadable)
    {
        var (handle, length) = Create(directory, number, nextSequence);
        return new AuditFile(directory, maxBytes, number, handle, length, nextSequence) { Unreadable = unreadable, _isNew = true };
    }

    /// <summary>A file appears with its first line whole or not at all.</summary>
    private static (SafeFileHandle Handle, long Length) Create(string directory, int number, long firstSequence)
    {
        var path = Path.Combine(directory, string.Create(CultureInfo.InvariantCulture, $"audit-{number:00000000}.jsonl"));
        PrivateFile.Replace(path, AuditLine.Header(number, firstSequence));
        var handle = OpenForAppend(path);
        return (handle, RandomAccess.GetLength(handle));
    }

    private static SafeFileHandle OpenForAppend(string path) => File.OpenHandle(path, FileMode.Open, FileAccess.ReadWrite, FileShare.Read);

    private static int NumberOf(string path) =>
        int.TryParse(Path.GetFileName(path).AsSpan(6, 8), NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number > 0
            ? number
            : throw new UnusableDataException($"'{path}' is not an audit file: move it out of the directory.");
}
