using System.Globalization;

namespace Sallyport.Hub.Audit;

/// <summary>
/// Reads a trail from its first file to its last and says what somebody changed, removed, moved or put in. It changes nothing and takes
/// no lock: a hub may be writing meanwhile. Without keys it follows the hashes alone. One per run; not thread-safe.
/// </summary>
public sealed class AuditVerifier
{
    /// <summary>Further ones are counted.</summary>
    public const int MaxFindings = 1000;

    private readonly AuditKeys? _keys;
    private readonly LineHash _chain;
    private readonly AnchorCheck _anchors;
    private readonly AuditFindings _findings = new();
    private readonly List<string> _notes = [];
    private readonly List<int> _chainless = [];

    // Where the trail stands: the hash and number of the last line, and how many lines after it are not what was written.
    private byte[]? _hash;
    private long _sequence;
    private int _bad;

    // A fault before the next line explains why it does not follow.
    private bool _isSuspect;

    // So was the line before it, and is said already.
    private bool _isUnsigned;

    // A fault about the file before explains what the next file begins with.
    private bool _isOutOfOrder;
    private string? _hubId;
    private AuditHeader? _first;
    private long _entries;
    private AuditAnchor? _head;

    private AuditVerifier(AuditKeys? keys, IReadOnlyList<AuditAnchor> anchors, LineHash chain)
    {
        _keys = keys;
        _chain = chain;
        _anchors = new AnchorCheck(anchors);
    }

    public static bool IsEmpty(string directory) => AuditFiles.List(directory).Count == 0;

    /// <summary>The id of the hub whose trail it is, as its newest file says; null when no file of it says so.</summary>
    /// <exception cref="IOException">A file cannot be read.</exception>
    public static string? HubIdOf(string directory) =>
        AuditFiles.List(directory) is [.., var (path, _)] && HeaderOf(path) is { Version: > 1 } header ? header.HubId : null;

    /// <summary>Verifies all files of a directory.</summary>
    /// <param name="keys">Null: nothing is known about who wrote the lines, only whether they follow from each other.</param>
    /// <param name="anchors">Kept elsewhere, in any order, of any hubs.</param>
    /// <exception cref="IOException">A file cannot be read.</exception>
    /// <exception cref="Storage.UnusableDataException">A file is of a newer format.</exception>
    public static AuditVerification Verify(string directory, AuditKeys? keys, IReadOnlyList<AuditAnchor> anchors, CancellationToken cancel) =>
        Verify(directory, keys, anchors, AuditSeal.Chain, cancel);

    internal static AuditVerification Verify(string directory, AuditKeys? keys, IReadOnlyList<AuditAnchor> anchors, LineHash chain, CancellationToken cancel) =>
        new AuditVerifier(keys, anchors, chain).Run(directory, cancel);

    private AuditVerification Run(string directory, CancellationToken cancel)
    {
        var files = AuditFiles.List(directory).Where(file => file.Number > 0).ToList();
        for (var i = 0; i < files.Count; i++)
        {
            cancel.ThrowIfCancellationRequested();
            if (i > 0 && files[i].Number != files[i - 1].Number + 1)
                Missing(files[i - 1].Number + 1, files[i].Number - 1);
            VerifyFile(files[i].Path, files[i].Number, i + 1 < files.Count ? HeaderOf(files[i + 1].Path) : null, i + 1 == files.Count, cancel);
        }

        _anchors.Finish(_findings, _notes, _hubId, files.Select(file => file.Number).ToHashSet(), _first, _head);
        _findings.Finish();
        return new AuditVerification(_findings.Kept, _findings.More, _notes, [.. NotExcluded(files.Count > 0 ? files[0].Number : 0)], files.Count, _entries, _head, _anchors.Found);
    }

    private void VerifyFile(string path, int number, AuditHeader? next, bool isNewest, CancellationToken cancel)
    {
        var name = Path.GetFileName(path);
        using var file = AuditFiles.OpenToRead(path);
        var length = file.Length;
        var leftAt = next?.Left is { } left ? Math.Max(0, length - left.Bytes) : length;
        AuditHeader? header = null;
        var hashBeforeLeft = _hash;
        var isLeft = false;
        foreach (var line in AuditFiles.Lines(file, length))
        {
            if (line.Number % 10_000 == 0)
                cancel.ThrowIfCancellationRequested();
            if (!isLeft && line.Position >= leftAt && line.Number > 1)
            {
                (isLeft, hashBeforeLeft) = (true, _hash);
                _findings.BeginEnd();
            }

            if (line.Number == 1)
            {
                header = AuditHeader.TryParse(path, line.Text);
                if (header is { Version: 1 })
                {
                    VerifyWithoutChain(path, number, header);
                    return;
                }

                VerifyHeader(Path.GetDirectoryName(path)!, name, number, header, line);
                if (isNewest)
                    _findings.BeginEnd();
            }
            else
            {
                VerifyEntry(name, number, header, line);
            }
        }

        if (header is null && length == 0)
            _findings.Add(new AuditFinding(AuditFault.Changed, name, 1, 0, "The file is empty: its first line is gone."));
        EndFile(name, path, next?.Left, leftAt, isNewest);
        if (isLeft)
            (_hash, _bad, _isSuspect) = (hashBeforeLeft, 0, false);
    }

    private void VerifyHeader(string directory, string name, int number, AuditHeader? header, in FileLine line)
    {
        if (header is null || !AuditSeal.TryRead(line.Text.Span, out var seal))
        {
            _findings.Add(new AuditFinding(AuditFault.Changed, name, 1, 0, "The first line is not that of an audit file."));
            (_hash, _isSuspect, _isOutOfOrder) = (null, true, true);
            return;
        }

        _first ??= header;
        _hubId ??= header.HubId;
        _anchors.See(number, 1, seal.Hash, name, header.FirstSequence - 1, _findings);
        var key = _keys?.Find(header.KeyId);
        var follows = seal.Follows(_hash ?? Convert.FromHexString(header.Previous), _chain);
        if (_keys is not null && key is null)
            _findings.Add(new AuditFinding(AuditFault.UnknownKey, name, 1, 0, $"The file is signed with key {header.KeyId}, which is not here: who wrote it cannot be told."));
        var isForged = key is not null && !seal.IsSignedWith(key);
        if (isForged && !follows)
            _findings.Add(new AuditFinding(AuditFault.Changed, name, 1, 0, "The first line was changed."));
        else if (isForged && !_isUnsigned)
            _findings.Add(new AuditFinding(AuditFault.Unsigned, name, 1, 0, "The first line was not written by who holds the key: the trail was written anew from here."));
        else if (isForged)
            _isOutOfOrder = false;
        else if (header.File != number)
            Misplaced(name, $"The file holds what {AuditFiles.NameOf(header.File)} held.");
        else if (header.HubId != _hubId || (_keys is not null && header.HubId != _keys.HubId))
            Misplaced(name, $"The file is of hub {header.HubId}.");
        else if (!_isOutOfOrder)
            VerifyStart(name, header, follows);
        else
            _isOutOfOrder = false;

        if (_head is null)
            VerifyOlder(directory, name, header);
        _isUnsigned = isForged && follows;
        Take(seal.Hash, isForged && _head is not null ? _sequence + _bad : header.FirstSequence - 1);
        _isSuspect = isForged;
        _head = new AuditAnchor(header.HubId, header.Time, number, 1, _sequence, Convert.ToHexStringLower(seal.Hash));
    }

    /// <summary>Whether the file begins where the one before it ended.</summary>
    private void VerifyStart(string name, AuditHeader header, bool follows)
    {
        var isFirst = _head is null && _chainless.Count == 0;
        var missing = header.FirstSequence - 1 - _sequence - _bad;
        if (!isFirst && missing > 0 && header.Left is null)
            _findings.AddGap(name, 1, _sequence + _bad + 1, header.FirstSequence - 1);
        else if (!follows && !_isSuspect)
            _findings.Add(new AuditFinding(_keys is null ? AuditFault.Changed : AuditFault.Spliced, name, 1, 0, "The file does not follow the one before it: one of the two is of another history, or was changed."));
    }

    private void VerifyEntry(string name, int number, AuditHeader? header, in FileLine line)
    {
        _entries++;
        var own = AuditLine.SequenceOf(line.Text.Span);
        var expected = _sequence + _bad + 1;
        if (!line.IsEnded || own is null || !AuditSeal.TryRead(line.Text.Span, out var seal))
        {
            Bad(AuditFault.Changed, "The line is not an entry.", in line, isTorn: !line.IsEnded || line.Text.Span.Contains((byte)0));
            _anchors.See(number, line.Number, null, name, expected, _findings);
            return;
        }

        _anchors.See(number, line.Number, seal.Hash, name, own.Value, _findings);
        var follows = _hash is not null && seal.Follows(_hash, _chain);
        var key = header is null ? null : _keys?.Find(header.KeyId);
        _head = new AuditAnchor(_hubId ?? "", AuditLine.TimeOf(line.Text.Span), number, line.Number, own.Value, Convert.ToHexStringLower(seal.Hash));
        if (key is not null && !seal.IsSignedWith(key))
        {
            if (!follows)
                Bad(AuditFault.Changed, "The entry was changed.", in line);
            else if (!_isUnsigned)
                Bad(AuditFault.Unsigned, "The entry follows the one before it, but was not written by who holds the key: it was changed or put in, or the trail was written anew from here.", in line);
            else
                _bad++;
            (_hash, _isUnsigned) = (seal.Hash, follows);
            return;
        }

        _isUnsigned = false;
        _findings.SeeGenuine();
        var ahead = own.Value - _sequence - 1;
        if (ahead < 0)
        {
            _findings.AddBackward(name, line.Number, own.Value);
            (_hash, _isSuspect) = (seal.Hash, true);
            return;
        }

        if (ahead > _bad)
            _findings.AddGap(name, line.Number, expected, own.Value - 1);
        else if (ahead < _bad)
            _findings.WereInserted((int)(_bad - ahead));
        else if (_bad == 0 && !follows && !_isSuspect)
            Unlinked(name, line.Number, own.Value);
        var isSuspect = !follows && ahead == 0 && _bad == 0 && !_isSuspect;
        Take(seal.Hash, own.Value);
        _isSuspect = isSuspect;

        void Bad(AuditFault fault, string what, in FileLine bad, bool isTorn = false)
        {
            _findings.Add(new AuditFinding(fault, name, bad.Number, expected, what), isTorn);
            _bad++;
            _isSuspect = true;
        }
    }

    private void Unlinked(string name, long line, long sequence) => _findings.Add(_keys is null
        ? new AuditFinding(AuditFault.Changed, name, line, sequence, "The entry does not follow the one before it: this entry or that one was changed, or is of another history.")
        : new AuditFinding(AuditFault.Spliced, name, line, sequence, "The entry is genuine and does not follow the one before it: it is of another history, such as an older copy."));

    private void Take(byte[] hash, long sequence) => (_hash, _sequence, _bad, _isSuspect) = (hash, sequence, 0, false);

    private void EndFile(string name, string path, LeftEnd? left, long leftAt, bool isNewest)
    {
        if (left is not null && AuditFiles.DigestOf(path, leftAt) != left.Sha256)
        {
            _findings.Add(new AuditFinding(AuditFault.Changed, name, 0, _sequence + 1, "What a crash left at the end of the file was changed afterwards."));
            return;
        }

        if ((left is not null || isNewest) && _findings.ForgiveTornEnd())
            _notes.Add($"{name} ends with an unfinished line, as a crash leaves it{(isNewest ? " or a hub that is writing now" : "")}: nobody was told that it was durable.");
    }

    /// <summary>Version 1: numbers, and the digest that the first file of version 2 holds.</summary>
    private void VerifyWithoutChain(string path, int number, AuditHeader header)
    {
        var name = Path.GetFileName(path);
        if (_head is not null)
        {
            _findings.Add(new AuditFinding(AuditFault.Inserted, name, 1, 0, "A file of version 1 stands behind one of version 2: no hub wrote it."));
            return;
        }

        if (header.File != number)
            Misplaced(name, $"The file holds what {AuditFiles.NameOf(header.File)} held.");
        else if (_chainless.Count > 0 && !_isOutOfOrder && header.FirstSequence > _sequence + 1)
            _findings.AddGap(name, 1, _sequence + 1, header.FirstSequence - 1);
        var (last, isWhole) = AuditLine.Scan(path, header);
        if (!isWhole)
            _notes.Add($"{name} has lines that cannot be read or are missing: version 1 cannot tell a crash from a change.");
        _chainless.Add(number);
        _entries += last - header.FirstSequence + 1;
        (_sequence, _isOutOfOrder) = (last, false);
    }

    /// <summary>The files of version 1 must be those that the first file of version 2 has seen.</summary>
    private void VerifyOlder(string directory, string name, AuditHeader header)
    {
        foreach (var number in _chainless)
        {
            var older = header.Older.FirstOrDefault(older => older.File == number);
            if (older is null)
                _findings.Add(new AuditFinding(AuditFault.Inserted, AuditFiles.NameOf(number), 0, 0, $"The file was not there when {name} was begun."));
            else if (AuditFiles.DigestOf(AuditFiles.PathOf(directory, number)) != older.Sha256)
                _findings.Add(new AuditFinding(AuditFault.Changed, AuditFiles.NameOf(number), 0, 0, $"The file, which is of version 1, is not what it was when {name} was begun."));
        }
    }

    private void Missing(int from, int to)
    {
        for (var number = from; number <= to && number - from < MaxFindings; number++)
            _findings.Add(new AuditFinding(AuditFault.FileMissing, AuditFiles.NameOf(number), 0, _sequence + 1, string.Create(CultureInfo.InvariantCulture, $"The file is missing: it held entries from {_sequence + 1} on.")));
        (_hash, _isOutOfOrder, _isSuspect) = (null, true, true);
    }

    private void Misplaced(string name, string what)
    {
        _findings.Add(new AuditFinding(AuditFault.FileMisplaced, name, 1, 0, what));
        _isOutOfOrder = true;
    }

    /// <summary>What the next file says was left at the end of this one.</summary>
    private static AuditHeader? HeaderOf(string path)
    {
        using var file = AuditFiles.OpenToRead(path);
        return AuditFiles.Lines(file, file.Length).Select(line => AuditHeader.TryParse(path, line.Text)).FirstOrDefault();
    }

    private IEnumerable<string> NotExcluded(int firstFile)
    {
        var who = _keys is null ? "anybody" : "somebody who holds the hub's key";
        if (_anchors.Newest is not { } anchor)
            yield return $"Entries cut off at the end, an older copy put back, and the whole trail written anew by {who}: give anchors that were kept elsewhere (--anchor FILE).";
        else if (_head is not null && (anchor.File, anchor.Line) != (_head.File, _head.Line))
            yield return string.Create(CultureInfo.InvariantCulture, $"What came after the newest anchor (entry {anchor.Sequence}, {anchor.Time.UtcDateTime:yyyy-MM-ddTHH:mm:ssZ}): later entries may have been cut off, or written anew by {who}.");
        if (_keys is null && _anchors.Newest is null)
            yield return "Who wrote the entries: without the hub's key only their order and their hashes were checked (--key-file FILE).";
        if (firstFile > 1 && !_anchors.IsStartTied)
            yield return $"What came before {AuditFiles.NameOf(firstFile)}: verify the archive that it was moved to, and give the anchor of its end.";
        if (_chainless.Count > 0)
            yield return "Changes to files of version 1 before the first file of version 2 was begun: they have no chain.";
    }
}
