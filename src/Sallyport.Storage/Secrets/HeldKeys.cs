namespace Sallyport.Storage.Secrets;

/// <summary>
/// The keys of a data directory that this process holds, and the steps by which they are changed. Each step is durable when it returns, and
/// after a crash behind any of them the directory opens with what the key file then holds. Steps are taken by one thread at a time; the rest is
/// thread-safe.
/// </summary>
public sealed class HeldKeys
{
    private readonly DataDirectory _directory;
    private readonly string? _keyFile;
    private readonly Func<string, string?> _environment;
    private volatile KeyRing _ring;

    private HeldKeys(DataDirectory directory, string? keyFile, Func<string, string?> environment, KeyRing ring) =>
        (_directory, _keyFile, _environment, _ring) = (directory, keyFile, environment, ring);

    /// <inheritdoc cref="KeyFile.Open"/>
    public static HeldKeys Open(DataDirectory directory, string? keyFile, Func<string, string?> environment) =>
        new(directory, keyFile, environment, KeyFile.Open(directory, keyFile, environment));

    public KeyRing Ring => _ring;

    public string Path => KeyFile.PathOf(_directory, _keyFile, _environment);

    /// <summary>Whether the hub may change the file: a systemd credential is a read-only copy of what somebody else keeps.</summary>
    public bool CanChangeFile => KeyFile.CanReplace(_directory, _keyFile, _environment);

    /// <summary>Ids of the keys in the file that seal nothing new.</summary>
    public IReadOnlyList<string> OldIds => [.. _ring.Keys.Skip(1).Select(key => key.Id)];

    /// <summary>Ids of the keys that were retired: what is left of them opens no secret.</summary>
    public IReadOnlyCollection<string> RetiredIds => [.. _ring.Retired.AuditMacs.Keys];

    /// <summary>Puts a key on top of the file: all that it held stays below.</summary>
    /// <exception cref="UnusableDataException">The file was changed by somebody else, or cannot be written.</exception>
    public void Add(MasterKey newest)
    {
        var next = _ring.With(newest);
        KeyFile.Replace(_directory, _keyFile, _environment, _ring, next);
        _ring = next;
    }

    /// <summary>Notes in the directory which key seals, so that it does not open without it.</summary>
    /// <exception cref="IOException">It cannot be written.</exception>
    public void RecordNewest() => _directory.RecordKeyId(_ring.Current.Id);

    /// <summary>Keeps of every key but the newest what the event log and the audit trail need, sealed with the newest.</summary>
    /// <exception cref="IOException">It cannot be written.</exception>
    public void KeepRetired()
    {
        var retired = _ring.Retire();
        retired.Write(_directory.RetiredKeysPath, _directory.Id, _ring.Current);
        _ring = new KeyRing(_ring.Keys, retired);
    }

    /// <summary>Takes every key but the newest out of the file. Only after <see cref="KeepRetired"/>, and when nothing stored is sealed with them.</summary>
    /// <exception cref="UnusableDataException">The file was changed by somebody else, or cannot be written.</exception>
    public void DropOld()
    {
        if (OldIds.Except(RetiredIds).Any())
            throw new InvalidOperationException("a key is dropped before what is needed of it was kept");

        var next = new KeyRing([_ring.Current], _ring.Retired);
        KeyFile.Replace(_directory, _keyFile, _environment, _ring, next);
        _ring = next;
    }
}
