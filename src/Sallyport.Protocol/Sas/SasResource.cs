using System.Globalization;
using System.Net;

namespace Sallyport.Protocol.Sas;

/// <summary>
/// What <c>sr</c>, or the audience of a CBS request, names: a host and the segments of a path, which may be none. Scheme, port and one
/// slash at the end are read over. It looks into the text that it was read from.
/// </summary>
internal readonly ref struct SasResource
{
    private SasResource(bool hasScheme, ReadOnlySpan<char> host, ReadOnlySpan<char> path)
    {
        HasScheme = hasScheme;
        Host = host;
        Path = path;
    }

    /// <summary>Event Hubs clients write one (Node, Python, az <c>sb</c>; .NET <c>amqps</c>; Java <c>amqp</c>; its REST <c>https</c>), IoT Hub's never do.</summary>
    public bool HasScheme { get; }

    /// <summary>As written, without port, an IPv6 address without brackets.</summary>
    public ReadOnlySpan<char> Host { get; }

    /// <summary>Without slash at either end; empty for none.</summary>
    public ReadOnlySpan<char> Path { get; }

    /// <param name="text">Decoded.</param>
    /// <returns>False for another scheme, no host, a port that is none, or an empty segment.</returns>
    public static bool TryRead(ReadOnlySpan<char> text, out SasResource resource)
    {
        resource = default;
        var hasScheme = text.IndexOf("://", StringComparison.Ordinal) is >= 0 and var colon && IsScheme(text[..colon]);
        var rest = hasScheme ? text[(text.IndexOf(':') + 3)..] : text;
        var slash = rest.IndexOf('/');
        var authority = slash < 0 ? rest : rest[..slash];
        var path = slash < 0 ? default : rest[(slash + 1)..];
        if (path is [not '/', ..] and [.. var withoutEnd, '/'])
            path = withoutEnd;
        if (path is ['/', ..] or [.., '/'] || path.IndexOf("//", StringComparison.Ordinal) >= 0 || !TryReadHost(authority, out var host))
            return false;

        resource = new SasResource(hasScheme, host, path);
        return true;
    }

    /// <summary>Whether the segments of the path are the first ones of <paramref name="asked"/>.</summary>
    /// <param name="comparison">Of segments.</param>
    /// <param name="orEncoded">A segment may also be the form-encoding of the one in <paramref name="asked"/> (C# SDK).</param>
    public bool Covers(ReadOnlySpan<char> asked, StringComparison comparison, bool orEncoded)
    {
        if (Path.IsEmpty)
            return true;

        var segments = asked.Split('/');
        foreach (var range in Path.Split('/'))
        {
            if (!segments.MoveNext())
                return false;

            var segment = Path[range];
            var wanted = asked[segments.Current];
            if (!wanted.Equals(segment, comparison) && !(orEncoded && segment.SequenceEqual(WebUtility.UrlEncode(wanted.ToString()))))
                return false;
        }

        return true;
    }

    private static bool IsScheme(ReadOnlySpan<char> text) =>
        text.Equals("sb", StringComparison.OrdinalIgnoreCase) || text.Equals("amqps", StringComparison.OrdinalIgnoreCase)
        || text.Equals("amqp", StringComparison.OrdinalIgnoreCase) || text.Equals("https", StringComparison.OrdinalIgnoreCase);

    private static bool TryReadHost(ReadOnlySpan<char> authority, out ReadOnlySpan<char> host)
    {
        host = authority;
        var colon = authority.LastIndexOf(':');
        if (authority is ['[', ..])
        {
            var end = authority.IndexOf(']');
            host = end < 0 ? default : authority[1..end];
            return !host.IsEmpty && (end == authority.Length - 1 || (colon == end + 1 && IsPort(authority[(colon + 1)..])));
        }

        // More than one colon and no brackets: an IPv6 address as --host takes it.
        if (colon >= 0 && authority.IndexOf(':') == colon)
        {
            host = authority[..colon];
            return !host.IsEmpty && IsPort(authority[(colon + 1)..]);
        }

        return !host.IsEmpty;
    }

    private static bool IsPort(ReadOnlySpan<char> text) => ushort.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out _);
}
