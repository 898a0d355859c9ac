using System.Xml;
using Sallyport.Hub.Uploads;

namespace Sallyport.Heads.Http;

/// <summary>The body of Put Block List.</summary>
internal static class BlockListXml
{
    /// <summary>Ten thousand of the longest ids with their tags.</summary>
    public const int MaxBytes = 2 * 1024 * 1024;

    private static readonly XmlReaderSettings Settings = new()
    {
        Async = true,
        DtdProcessing = DtdProcessing.Prohibit,
        XmlResolver = null,
        IgnoreComments = true,
        IgnoreProcessingInstructions = true,
        IgnoreWhitespace = true,
        MaxCharactersInDocument = MaxBytes,
    };

    /// <exception cref="BlobException">400: it is not that XML, an id is none, or there are too many.</exception>
    public static async Task<IReadOnlyList<ListedBlock>> ReadAsync(Stream body)
    {
        var list = new List<ListedBlock>();
        try
        {
            using var xml = XmlReader.Create(body, Settings);
            await xml.MoveToContentAsync();
            if (xml.NodeType != XmlNodeType.Element || xml.LocalName != "BlockList")
                throw new BlobException(BlobErrors.InvalidXml);
            if (xml.IsEmptyElement)
                return list;

            await xml.ReadAsync();
            while (xml.NodeType == XmlNodeType.Element)
            {
                var source = xml.LocalName switch
                {
                    "Latest" => BlockSource.Latest,
                    "Uncommitted" => BlockSource.Uncommitted,
                    "Committed" => BlockSource.Committed,
                    _ => throw new BlobException(BlobErrors.InvalidXml),
                };
                var id = BlockId(await xml.ReadElementContentAsStringAsync());
                if (list.Count == UploadOptions.MaxBlocks)
                    throw new BlobException(BlobErrors.InvalidBlockList);
                list.Add(new ListedBlock(source, id));
            }

            return xml.NodeType == XmlNodeType.EndElement ? list : throw new BlobException(BlobErrors.InvalidXml);
        }
        catch (XmlException)
        {
            throw new BlobException(BlobErrors.InvalidXml);
        }
    }

    /// <summary>A block id as hex.</summary>
    /// <exception cref="BlobException">400: it is none.</exception>
    public static string BlockId(string? base64)
    {
        Span<byte> bytes = stackalloc byte[96];
        if (string.IsNullOrEmpty(base64) || base64.Length > 88 || !Convert.TryFromBase64String(base64, bytes, out var length) || length is 0 or > 64)
            throw new BlobException(BlobErrors.InvalidBlockId);
        return Convert.ToHexStringLower(bytes[..length]);
    }
}
