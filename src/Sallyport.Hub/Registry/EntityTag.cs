using System.Buffers.Binary;
using Sallyport.Protocol.Errors;

namespace Sallyport.Hub.Registry;

/// <summary>An ETag as it is on the wire: the number, big-endian, in base64 (<c>AAAAAAAAAAE=</c>).</summary>
public static class EntityTag
{
    public static string Format(long tag)
    {
        Span<byte> bytes = stackalloc byte[sizeof(long)];
        BinaryPrimitives.WriteInt64BigEndian(bytes, tag);
        return Convert.ToBase64String(bytes);
    }

    /// <summary>Reads one with or without quotes; false when the hub cannot have made it.</summary>
    public static bool TryParse(ReadOnlySpan<char> text, out long tag)
    {
        Span<byte> bytes = stackalloc byte[sizeof(long)];
        text = text.Trim().Trim('"');
        tag = 0;
        if (text.Length != 12 || !Convert.TryFromBase64Chars(text, bytes, out var length) || length != sizeof(long))
            return false;

        tag = BinaryPrimitives.ReadInt64BigEndian(bytes);
        return true;
    }
}

/// <summary>
/// What an If-Match header, or a bulk item's <c>eTag</c>, asks for: any version (<c>*</c>) or one. SDKs quote both or neither (RFC 9110, 13.1.1).
/// </summary>
public readonly record struct EntityTagCondition
{
    private readonly long _tag;
    private readonly bool _any;
    private readonly bool _matchable;

    private EntityTagCondition(bool any, bool matchable, long tag)
    {
        _any = any;
        _matchable = matchable;
        _tag = tag;
    }

    public static readonly EntityTagCondition Any = new(true, true, 0);

    /// <summary>A text that is no ETag of the hub's is a condition that nothing fulfils.</summary>
    public static EntityTagCondition Parse(string text)
    {
        if (text.AsSpan().Trim().Trim('"') is "*")
            return Any;

        return new(false, EntityTag.TryParse(text, out var tag), tag);
    }

    /// <exception cref="HubException">412: the tag is another.</exception>
    public void Require(long current)
    {
        if (!_any && (!_matchable || _tag != current))
            throw new HubException(HubErrors.PreconditionFailed, "the ETag given is not the current one");
    }
}
