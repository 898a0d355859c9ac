using Sallyport.Hub.Uploads;

namespace Sallyport.Heads.Http;

/// <summary>
/// The target of a request to the blob endpoint, as it was sent. SDKs put it together as text, and not all of them encode the name: so the
/// query begins where the signature begins, and a question mark before it belongs to the name. Immutable.
/// </summary>
/// <param name="Path">Behind the container's name, as it was sent.</param>
/// <param name="Fields">Of the query, decoded; the first of each name.</param>
internal sealed record BlobTarget(string Path, IReadOnlyDictionary<string, string> Fields)
{
    private const string Root = "/" + BuiltInBlobs.ContainerName + "/";

    /// <summary>Reads the target of a request line; null when it names no file, or a field twice.</summary>
    public static BlobTarget? Parse(string rawTarget)
    {
        var begin = rawTarget.StartsWith('/') ? 0 : rawTarget.IndexOf(Root, StringComparison.Ordinal); // A proxy's has scheme and host.
        if (begin < 0 || !rawTarget.AsSpan(begin).StartsWith(Root, StringComparison.Ordinal))
            return null;

        var path = rawTarget[(begin + Root.Length)..];
        var query = "";
        var mark = path.LastIndexOf(BlobSignature.Beginning, StringComparison.Ordinal);
        if (mark < 0)
            mark = path.IndexOf('?', StringComparison.Ordinal);
        if (mark >= 0)
            (path, query) = (path[..mark], path[(mark + 1)..]);

        var fields = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var pair in query.Split('&', StringSplitOptions.RemoveEmptyEntries))
        {
            var equals = pair.IndexOf('=', StringComparison.Ordinal);
            var (name, value) = equals < 0 ? (pair, "") : (pair[..equals], pair[(equals + 1)..]);
            if (!fields.TryAdd(Uri.UnescapeDataString(name), Uri.UnescapeDataString(value)))
                return null;
        }

        return path.Length == 0 ? null : new BlobTarget(path, fields);
    }

    /// <summary>The name in the path, decoded.</summary>
    public string Name => Uri.UnescapeDataString(Path);
}
