using System.Buffers;
using Microsoft.Win32.SafeHandles;
using Sallyport.Storage;

namespace Sallyport.Hub.Audit;

/// <summary>
/// The newest file of the trail, and the step to the next one (<c>docs/formats/audit.md</c>). Owned by the one loop that writes.
/// What was ever written is never changed: a file whose end cannot be read is left as it is and followed by the next, whose first line
/// holds the digest of what was left.
/// </summary>
internal sealed class AuditFile : IDisposable
{
    private readonly string _directory;
    private readonly long _maxBytes;
    private readonly AuditKeys _keys;
    private readonly LineHash _chain;

    // Entries that wait, without seal: which line they follow is known when they are written.
    private readonly ArrayBufferWriter<byte> _pending = new();
    private readonly List<(int Bytes, DateTimeOffset Time)> _pendingEntries = [];
    private readonly ArrayBufferWriter<byte> _lines = new();
    private byte[] _key;
    private string _keyId;
    private SafeFileHandle _handle;
    private long _length;
    private AuditAnchor _head;
    private Exception? _failure;

    // Nothing but the first line is in it: however long the next entries are, they go there.
    private bool _isNew;

    private AuditFile(string directory, long maxBytes, AuditKeys keys, LineHash chain, AuditHeader start)
    {
        (_directory, _maxBytes, _keys, _chain) = (directory, maxBytes, keys, chain);
        (_handle, _length, _key, _head) = Create(start);
        _keyId = start.KeyId;
        _isNew = true;
    }

    private AuditFile(string directory, long maxBytes, AuditKeys keys, LineHash chain, string path, string keyId, AuditAnchor head)
    {
        (_directory, _maxBytes, _keys, _chain, _keyId, _key, _head) = (directory, maxBytes, keys, chain, keyId, keys.Find(keyId)!, head);
        _handle = OpenForAppend(path);
        _length = RandomAccess.GetLength(_handle);
    }

    /// <summary>The name of the file before this one when it had lines that could not be read; else null.</summary>
    public string? Unreadable { get; private init; }

    /// <summary>Of what is on disk.</summary>
    public AuditAnchor Head => _head;

    /// <exception cref="UnusableDataException">The newest file is of a newer format, of another hub, or not an audit file.</exception>
    public static AuditFile Open(string directory, long maxBytes, AuditKeys keys, LineHash chain, DateTimeOffset now)
    {
        Directory.CreateDirectory(directory, PrivateFile.DirectoryMode);
        var files = AuditFiles.List(directory);
        if (files.Count == 0)
            return StartNew(First(1, 1, [], AuditHeader.NoPrevious, null));

        var (path, number) = files[^1];
        if (number == 0)
            throw new UnusableDataException($"'{path}' is not an audit file: move it out of the directory.");

        var header = AuditLine.HeaderOf(path);
        if (header.Version == 1)
        {
            if (files.Exists(file => file.Number > 0 && AuditLine.HeaderOf(file.Path).Version > 1))
                throw new UnusableDataException($"'{path}' is of version 1 behind a file of version 2, so no hub wrote it: move it out of the directory.");

            var (last, isWhole) = AuditLine.Scan(path, header);
            var older = files.Where(file => file.Number > 0).Select(file => new OlderFile(file.Number, AuditFiles.DigestOf(file.Path))).ToList();
            return StartNew(First(number + 1, last + 1, older, AuditHeader.NoPrevious, null), isWhole ? null : Path.GetFileName(path));
        }

        if (header.HubId != keys.HubId)
            throw new UnusableDataException($"'{path}' is of hub {header.HubId}, and this is hub {keys.HubId}: move it out of the directory.");

        var end = AuditEnd.Read(path, header, keys.Find(header.KeyId), chain);
        if (end.Left is null && header.KeyId == keys.CurrentId)
            return new AuditFile(directory, maxBytes, keys, chain, path, header.KeyId, end.Head with { File = number });
        return StartNew(First(number + 1, end.LastSequence + 1, [], end.Head.Hash, end.Left), end.Left is null ? null : Path.GetFileName(path));

        AuditHeader First(int file, long sequence, IReadOnlyList<OlderFile> older, string previous, LeftEnd? left) =>
            new(AuditHeader.Newest, file, sequence, now, keys.HubId, previous, keys.CurrentId, older, left);

        AuditFile StartNew(AuditHeader start, string? unreadable = null) => new(directory, maxBytes, keys, chain, start) { Unreadable = unreadable };
    }

    /// <summary>Puts an entry after those that wait for <see cref="Commit"/>.</summary>
    public void Add(AuditEntry entry, long count, DateTimeOffset time)
    {
        var before = _pending.WrittenCount;
        AuditLine.Write(_pending, entry, count, time, _head.Sequence + 1 + _pendingEntries.Count);
        _pendingEntries.Add((_pending.WrittenCount - before, time));
    }

    /// <summary>Writes what was added and makes it durable; when it throws, none of it counts as written: <see cref="Abandon"/> it.</summary>
    /// <exception cref="IOException">It could not be written, or an earlier sync failed.</exception>
    public void Commit()
    {
        if (_failure is not null)
            throw new IOException("the audit trail failed before", _failure);
        if (_pendingEntries.Count == 0)
            return;
        if ((_length + _pending.WrittenCount + (_pendingEntries.Count * (long)AuditSeal.Length) > _maxBytes && !_isNew) || _keyId != _keys.CurrentId)
            Rotate(_pendingEntries[0].Time);

        var head = Seal();
        Append(_lines.WrittenSpan);
        _length += _lines.WrittenCount;
        _head = head;
        Abandon();
    }

    /// <summary>Forgets what was added and not committed.</summary>
    public void Abandon()
    {
        _pending.ResetWrittenCount();
        _pendingEntries.Clear();
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

    /// <summary>Chains what waits onto what is on disk.</summary>
    private AuditAnchor Seal()
    {
        _lines.ResetWrittenCount();
        var (hash, from) = (Convert.FromHexString(_head.Hash), 0);
        foreach (var (bytes, _) in _pendingEntries)
        {
            hash = AuditSeal.Write(_lines, _pending.WrittenSpan.Slice(from, bytes), hash, _key, _chain);
            from += bytes;
        }

        return _head with
        {
            Time = _pendingEntries[^1].Time,
            Line = _head.Line + _pendingEntries.Count,
            Sequence = _head.Sequence + _pendingEntries.Count,
            Hash = Convert.ToHexStringLower(hash),
        };
    }

    private void Rotate(DateTimeOffset time)
    {
        var start = new AuditHeader(AuditHeader.Newest, _head.File + 1, _head.Sequence + 1, time, _keys.HubId, _head.Hash, _keys.CurrentId, [], null);
        var (handle, length, key, head) = Create(start);
        _handle.Dispose();
        (_handle, _length, _key, _keyId, _head, _isNew) = (handle, length, key, start.KeyId, head, true);
    }

    /// <summary>A file appears with its first line whole or not at all.</summary>
    private (SafeFileHandle Handle, long Length, byte[] Key, AuditAnchor Head) Create(AuditHeader header)
    {
        var path = AuditFiles.PathOf(_directory, header.File);
        var key = _keys.Find(header.KeyId)!;
        var line = new ArrayBufferWriter<byte>();
        var hash = AuditSeal.Write(line, header.ToJson(), Convert.FromHexString(header.Previous), key, _chain);
        PrivateFile.Replace(path, line.WrittenSpan);
        var handle = OpenForAppend(path);
        return (handle, RandomAccess.GetLength(handle), key, new AuditAnchor(_keys.HubId, header.Time, header.File, 1, header.FirstSequence - 1, Convert.ToHexStringLower(hash)));
    }

    private static SafeFileHandle OpenForAppend(string path) => File.OpenHandle(path, FileMode.Open, FileAccess.ReadWrite, FileShare.Read);
}
