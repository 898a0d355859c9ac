using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Sallyport.Storage.Secrets;

namespace Sallyport.Hub.Uploads;

/// <summary>What a signature opens: one file, for writing in the course of one upload, or for reading.</summary>
/// <param name="UploadId">Of the upload that writes; null for reading.</param>
/// <param name="BlobName">With the device's id, of the file that is read; null for writing, where the upload says it.</param>
public sealed record BlobGrant(string? UploadId, string? BlobName, DateTimeOffset Expires);

/// <summary>
/// Shared access signatures of the built-in blob endpoint: the query of a URL, shaped as Azure Storage's, made with a key that is derived from
/// the hub's master key. Whoever has the text has what it opens. Thread-safe.
/// </summary>
/// <param name="ring">The hub's keys as they are now: signed is with the newest, and what any of them signed is good.</param>
public sealed class BlobSignature(Func<KeyRing> ring, TimeProvider time)
{
    /// <summary>How a signature begins: what comes before it in a URL is the path, whatever is in that.</summary>
    public const string Beginning = "?sv=";

    private const string Version = "2020-10-02";
    private const string Purpose = "blob-signature";
    private const string TimeFormat = "yyyy-MM-dd'T'HH:mm:ss'Z'";
    private const string Write = "cw";
    private const string Read = "r";

    /// <summary>Opens the file of an upload for creating and writing it, and nothing else.</summary>
    public string ForUpload(string uploadId, DateTimeOffset expires) => Make(Write, expires, uploadId, "");

    /// <summary>Opens one file for reading.</summary>
    /// <param name="blobName">With the device's id.</param>
    public string ForReading(string blobName, DateTimeOffset expires) => Make(Read, expires, "", blobName);

    /// <summary>What a query opens; null when it is not signed by this hub, or over.</summary>
    /// <param name="fields">Of the query, decoded.</param>
    /// <param name="blobName">That the path names, decoded.</param>
    public BlobGrant? Check(IReadOnlyDictionary<string, string> fields, string blobName)
    {
        if (!fields.TryGetValue("sig", out var given) || !fields.TryGetValue("sp", out var rights) || !fields.TryGetValue("se", out var end)
            || fields.GetValueOrDefault("sr") != "b" || rights is not (Write or Read))
            return null;
        if (!DateTimeOffset.TryParseExact(end, TimeFormat, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var expires) || expires <= time.GetUtcNow())
            return null;

        var upload = rights == Write ? fields.GetValueOrDefault("si") : "";
        if (upload is null)
            return null;

        var name = rights == Read ? blobName : "";
        var shown = Encoding.UTF8.GetBytes(given);
        var isSigned = false;
        foreach (var key in ring().Keys)
            isSigned |= CryptographicOperations.FixedTimeEquals(shown, Encoding.UTF8.GetBytes(Sign(key, rights, end, upload, name)));
        if (!isSigned)
            return null;
        return rights == Write ? new BlobGrant(upload, null, expires) : new BlobGrant(null, blobName, expires);
    }

    private string Make(string rights, DateTimeOffset expires, string uploadId, string blobName)
    {
        var end = expires.UtcDateTime.ToString(TimeFormat, CultureInfo.InvariantCulture);
        var identifier = uploadId.Length == 0 ? "" : $"&si={uploadId}";
        return $"{Beginning}{Version}&spr=https&sr=b{identifier}&se={Uri.EscapeDataString(end)}&sp={rights}&sig={Sign(ring().Current, rights, end, uploadId, blobName)}";
    }

    // Base64 for URLs: encoded or not, it is the same text.
    private static string Sign(MasterKey key, string rights, string end, string uploadId, string blobName)
    {
        var signed = HMACSHA256.HashData(key.Derive(Purpose), Encoding.UTF8.GetBytes($"{rights}\n{end}\n{uploadId}\n{blobName}"));
        return System.Buffers.Text.Base64Url.EncodeToString(signed);
    }
}
