using System.Net;

namespace Sallyport.Protocol.Sas;

/// <summary>What <c>sr</c> names, decoded once: a host and the segments of a path, which may be none.</summary>
internal static class SasResource
{
    /// <summary>False when a segment is empty (a scheme has one too) or there is nothing.</summary>
    public static bool IsValid(ReadOnlySpan<char> decoded) =>
        !decoded.IsEmpty && decoded[0] != '/' && decoded[^1] != '/' && decoded.IndexOf("//", StringComparison.Ordinal) < 0;

    public static ReadOnlySpan<char> HostOf(ReadOnlySpan<char> decoded) => decoded.IndexOf('/') is >= 0 and var slash ? decoded[..slash] : decoded;

    /// <summary>Whether the segments behind the host are the first ones of <paramref name="path"/>.</summary>
    /// <param name="orEncoded">A segment may also be the form-encoding of the one in <paramref name="path"/> (C# SDK).</param>
    public static bool Covers(ReadOnlySpan<char> decoded, ReadOnlySpan<char> path, bool orEncoded)
    {
        var host = HostOf(decoded);
        if (host.Length == decoded.Length)
            return true;

        var asked = path.Split('/');
        foreach (var range in decoded[(host.Length + 1)..].Split('/'))
        {
            if (!asked.MoveNext())
                return false;

            var segment = decoded[(host.Length + 1)..][range];
            var wanted = path[asked.Current];
            if (!wanted.SequenceEqual(segment) && !(orEncoded && segment.SequenceEqual(WebUtility.UrlEncode(wanted.ToString()))))
                return false;
        }

        return true;
    }
}
