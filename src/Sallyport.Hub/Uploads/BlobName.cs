using Sallyport.Protocol.Errors;

namespace Sallyport.Hub.Uploads;

/// <summary>
/// The name of a file that a device uploads: Azure's rules for blobs (1 to 1024 characters, case-sensitive, slashes make a path of it), without
/// what would not survive a URL. It is text in a database and never part of a path on the disk.
/// </summary>
public static class BlobName
{
    public const int MaxLength = 1024;

    /// <summary>Of the device's id, a slash and the name, percent-encoded: so that a URL with a signature fits into a request line of 4 KiB.</summary>
    public const int MaxEscapedLength = 3000;

    /// <summary>The name as services and URLs have it.</summary>
    public static string Full(string deviceId, string name) => $"{deviceId}/{name}";

    /// <summary>As it stands in a URL: the slashes as they are, all else that has a meaning there encoded.</summary>
    public static string Escape(string full) => string.Join('/', full.Split('/').Select(Uri.EscapeDataString));

    /// <summary>
    /// As it is handed out: where a URL made of the name without encoding it would end up elsewhere (the Node SDK makes one so), the characters
    /// that do it are encoded. Who encodes it once more is understood as well: <see cref="IsSpelled"/>.
    /// </summary>
    public static string ForAnyUrl(string full) => full.Replace("%", "%25", StringComparison.Ordinal).Replace("?", "%3F", StringComparison.Ordinal)
        .Replace("#", "%23", StringComparison.Ordinal).Replace("\\", "%5C", StringComparison.Ordinal);

    /// <exception cref="HubException">400: it is none; says why.</exception>
    public static void Check(string deviceId, string? name)
    {
        if (string.IsNullOrEmpty(name))
            throw new HubException(HubErrors.ArgumentNull, "blobName: the name of the file is missing");
        if (Problem(deviceId, name) is { } problem)
            throw new HubException(HubErrors.ArgumentInvalid, $"blobName: {problem}");
    }

    /// <summary>
    /// Whether the path of a URL names this file, in whichever of the spellings that SDKs make of one: encoded once, encoded not at all although
    /// there is a percent sign in it, encoded with the slashes. It is the signature that says which file is written; this tells mistakes.
    /// </summary>
    public static bool IsSpelled(string path, string full) => path == full || Bare(path) == Bare(full);

    private static string? Problem(string deviceId, string name)
    {
        if (name.Length > MaxLength - deviceId.Length - 1)
            return $"with the id of the device in front it has at most {MaxLength} characters";
        if (name.Any(char.IsControl))
            return "it has no control characters";
        for (var i = 0; i < name.Length; i++)
        {
            if (i + 1 < name.Length && char.IsSurrogatePair(name, i))
                i++;
            else if (char.IsSurrogate(name[i]))
                return "it is no Unicode text";
        }

        // Clients resolve them before they ask: nobody could ever write there.
        var full = Full(deviceId, name);
        if (full.Split('/', '\\').Any(segment => Bare(segment) is "." or ".."))
            return "no part between slashes is . or ..; with a device id like that there is no upload";
        return Escape(full).Length > MaxEscapedLength ? $"percent-encoded it has at most {MaxEscapedLength} characters" : null;
    }

    // Each turn makes it shorter or is the last one.
    private static string Bare(string text)
    {
        for (string bare; (bare = Uri.UnescapeDataString(text)) != text;)
            text = bare;
        return text;
    }
}
