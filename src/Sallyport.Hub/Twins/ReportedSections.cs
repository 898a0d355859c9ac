using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Twins;

namespace Sallyport.Hub.Twins;

/// <summary>
/// The reported properties of those who reported last, as they are on disk, so that the next patch need not read and parse them: that was a quarter of what a patch cost the store's one
/// writer. Used on the writer's thread only.
/// </summary>
/// <remarks>
/// What is kept is what a commit has made, and a version is made once: whoever finds the version of the row here has what is in the row. At the bound the half not used lately is forgotten,
/// and read from the store.
/// </remarks>
internal sealed class ReportedSections
{
    /// <summary>About so much memory: 6,000 twins of 1 KB.</summary>
    public const int MaxBytes = 32 << 20;

    // A value of 15 bytes of JSON is a node, its text, its name and a member: 150 bytes.
    private const int BytesPerJsonByte = 12;
    private const int FixedBytes = 512;

    private Dictionary<Identity, Entry> _young = [];
    private Dictionary<Identity, Entry> _old = [];
    private long _youngBytes;

    /// <returns>Null when that version is not here.</returns>
    public TwinSection? Find(Identity identity, string generationId, long version) =>
        (_young.TryGetValue(identity, out var entry) || _old.TryGetValue(identity, out entry)) && entry.Section.Version == version && entry.GenerationId == generationId ? entry.Section : null;

    public void Keep(Identity identity, string generationId, TwinSection section)
    {
        var bytes = Bytes(section) - (_young.TryGetValue(identity, out var before) ? Bytes(before.Section) : 0);
        if (_youngBytes + bytes > MaxBytes / 2)
            (_old, _young, _youngBytes, bytes) = (_young, [], 0, Bytes(section));
        _young[identity] = new Entry(generationId, section);
        _youngBytes += bytes;
    }

    private static int Bytes(TwinSection section) => FixedBytes + (BytesPerJsonByte * section.Root.JsonBytes);

    private readonly record struct Entry(string GenerationId, TwinSection Section);
}
