using System.Net;

namespace Sallyport.Protocol.Sas;

/// <summary>What <c>sr</c> names, decoded once: a host and the segments of a path, which may be none.</summary>
internal sealed class SasResource
{
    private readonly string[] _segments;

    private SasResource(string host, string[] segments)
    {
        Host = host;
        _segments = segments;
    }

    public string Host { get; }

    /// <summary>Null when a segment is empty (a scheme has one too) or there is nothing.</summary>
    public static SasResource? TryParse(ReadOnlySpan<char> decoded)
    {
        var segments = decoded.ToString().Split('/');
        return segments.Any(string.IsNullOrEmpty) ? null : new SasResource(segments[0], segments[1..]);
    }

    /// <summary>Whether the segments are the first ones of <paramref name="path"/>.</summary>
    /// <param name="orEncoded">A segment may also be the form-encoding of the one in <paramref name="path"/> (C# SDK).</param>
    public bool Covers(ReadOnlySpan<char> path, bool orEncoded)
    {
        var matched = 0;
        foreach (var range in path.Split('/'))
        {
            if (matched == _segments.Length)
                return true;

            var asked = path[range];
            if (!asked.SequenceEqual(_segments[matched])
                && !(orEncoded && string.Equals(WebUtility.UrlEncode(asked.ToString()), _segments[matched], StringComparison.Ordinal)))
            {
                return false;
            }

            matched++;
        }

        return matched == _segments.Length;
    }
}
