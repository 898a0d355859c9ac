using System.Text.Json;

namespace Sallyport.Protocol.Twins;

/// <summary>When a value was last written, and with which version of its part.</summary>
/// <param name="Time">UTC.</param>
public readonly record struct TwinStamp(DateTime Time, long Version);

/// <summary>A member of an object in a twin.</summary>
public readonly record struct TwinMember(string Name, TwinNode Value);

/// <summary>
/// A value in a twin or in a patch of one: an object with its members in their order, or anything else as its JSON text (arrays
/// are never looked into: a patch replaces them whole). Immutable; thread-safe.
/// </summary>
public sealed class TwinNode
{
    /// <summary>In a patch: what it names is deleted.</summary>
    public static readonly TwinNode Null = new("null"u8.ToArray(), 0);

    public static readonly TwinNode Empty = new([], default);

    // So many are looked through; more have a dictionary.
    private const int FewMembers = 8;
    private const int MaxOnStack = 128;

    private readonly TwinMember[]? _members;
    private readonly byte[]? _json;

    internal TwinNode(byte[] json, int sizeBytes, TwinStamp stamp = default)
    {
        _json = json;
        SizeBytes = sizeBytes;
        JsonBytes = json.Length;
        Stamp = stamp;
    }

    internal TwinNode(TwinMember[] members, TwinStamp stamp)
    {
        _members = members;
        Stamp = stamp;
        JsonBytes = 2;
        foreach (var (name, value) in members)
        {
            var nameBytes = System.Text.Encoding.UTF8.GetByteCount(name);
            SizeBytes += nameBytes + value.SizeBytes;
            JsonBytes += nameBytes + 4 + value.JsonBytes;
        }
    }

    public bool IsObject => _members is not null;

    public bool IsNull => ReferenceEquals(this, Null);

    /// <summary>Of an object; empty for anything else.</summary>
    public ReadOnlySpan<TwinMember> Members => _members;

    /// <summary>The JSON text of what is no object.</summary>
    public ReadOnlySpan<byte> Json => _json;

    /// <summary>
    /// Its size as IoT Hub counts: the UTF-8 bytes of keys and strings without control characters, 8 for a number, 4 for true or
    /// false, nothing for null, braces and brackets.
    /// </summary>
    public int SizeBytes { get; }

    /// <summary>About how long its JSON text is: at least the true length, but for keys that need escapes.</summary>
    public int JsonBytes { get; }

    /// <summary>When it was last written; default in a patch.</summary>
    public TwinStamp Stamp { get; }

    /// <summary>The member of that name; null when there is none. Looks at each in turn.</summary>
    public TwinNode? this[string name]
    {
        get
        {
            foreach (var member in Members)
            {
                if (member.Name == name)
                    return member.Value;
            }

            return null;
        }
    }

    /// <summary>The object with one member set in its place, or added at the end, or taken away.</summary>
    /// <param name="value">Null takes it away; <see cref="Null"/> is a value.</param>
    public TwinNode With(string name, TwinNode? value)
    {
        List<TwinMember> members = new(Members.Length + 1);
        var isThere = false;
        foreach (var member in Members)
        {
            if (member.Name != name)
                members.Add(member);
            else if (value is not null)
                members.Add(member with { Value = value });
            isThere |= member.Name == name;
        }

        if (!isThere && value is not null)
            members.Add(new TwinMember(name, value));
        return new TwinNode([.. members], Stamp);
    }

    /// <summary>
    /// Applies a patch to what there is: objects merge member by member, null deletes, everything else takes the place of what was
    /// there. Everything that the patch names, and whatever holds it, gets the stamp.
    /// </summary>
    /// <param name="existing">Null when there is nothing yet.</param>
    public static TwinNode Merge(TwinNode? existing, TwinNode patch, TwinStamp stamp)
    {
        if (!patch.IsObject)
            return new TwinNode(patch._json!, patch.SizeBytes, stamp);

        var old = existing is null ? default : existing.Members;
        if (old.IsEmpty)
            return Stamped(patch, stamp);

        // Where each member that there is stands in the patch; then as many as stay, and those that are new.
        var given = patch._members!;
        var places = given.Length > FewMembers ? patch.Places() : null;
        Span<int> placeOf = old.Length <= MaxOnStack ? stackalloc int[old.Length] : new int[old.Length];
        Span<bool> isThere = given.Length <= MaxOnStack ? stackalloc bool[given.Length] : new bool[given.Length];
        isThere.Clear();
        var count = 0;
        for (var i = 0; i < old.Length; i++)
        {
            var place = placeOf[i] = places is null ? PlaceOf(given, old[i].Name) : places.GetValueOrDefault(old[i].Name, -1);
            if (place >= 0)
                isThere[place] = true;
            count += place < 0 || !given[place].Value.IsNull ? 1 : 0;
        }

        for (var i = 0; i < given.Length; i++)
            count += isThere[i] || given[i].Value.IsNull ? 0 : 1;
        var merged = new TwinMember[count];
        var at = 0;
        for (var i = 0; i < old.Length; i++)
        {
            if (placeOf[i] < 0)
                merged[at++] = old[i];
            else if (!given[placeOf[i]].Value.IsNull)
                merged[at++] = old[i] with { Value = Merge(old[i].Value, given[placeOf[i]].Value, stamp) };
        }

        for (var i = 0; i < given.Length; i++)
        {
            if (!isThere[i] && !given[i].Value.IsNull)
                merged[at++] = new TwinMember(given[i].Name, Merge(null, given[i].Value, stamp));
        }

        return new TwinNode(merged, stamp);
    }

    /// <summary>What a receiver of <paramref name="after"/> has to merge to get there from <paramref name="before"/>: all of it, and null for what is gone.</summary>
    public static TwinNode Replacement(TwinNode before, TwinNode after)
    {
        if (!after.IsObject || !before.IsObject)
            return after;

        var places = after.Places();
        var beforePlaces = before.Places();
        List<TwinMember> members = [];
        foreach (var (name, value) in after.Members)
            members.Add(new TwinMember(name, beforePlaces.TryGetValue(name, out var was) ? Replacement(before._members![was].Value, value) : value));
        foreach (var (name, _) in before.Members)
        {
            if (!places.ContainsKey(name))
                members.Add(new TwinMember(name, Null));
        }

        return new TwinNode([.. members], default);
    }

    /// <summary>Writes the value.</summary>
    public void WriteTo(Utf8JsonWriter json)
    {
        if (!IsObject)
        {
            json.WriteRawValue(_json, skipInputValidation: true);
            return;
        }

        json.WriteStartObject();
        WriteMembersTo(json);
        json.WriteEndObject();
    }

    /// <summary>Writes the members of an object into one that has been started.</summary>
    public void WriteMembersTo(Utf8JsonWriter json)
    {
        foreach (var (name, value) in Members)
        {
            json.WritePropertyName(name);
            value.WriteTo(json);
        }
    }

    private static TwinNode Stamped(TwinNode patch, TwinStamp stamp)
    {
        List<TwinMember> members = new(patch.Members.Length);
        foreach (var (name, value) in patch.Members)
        {
            if (!value.IsNull)
                members.Add(new TwinMember(name, Merge(null, value, stamp)));
        }

        return new TwinNode([.. members], stamp);
    }

    private static int PlaceOf(ReadOnlySpan<TwinMember> members, string name)
    {
        for (var i = 0; i < members.Length; i++)
        {
            if (members[i].Name == name)
                return i;
        }

        return -1;
    }

    private Dictionary<string, int> Places()
    {
        var places = new Dictionary<string, int>(Members.Length, StringComparer.Ordinal);
        for (var i = 0; i < Members.Length; i++)
            places.Add(Members[i].Name, i);
        return places;
    }
}
