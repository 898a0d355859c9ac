namespace Sallyport.Storage.Metadata;

/// <summary>A change to the metadata could not be made durable; nothing of it was kept. What is committed can still be read.</summary>
/// <param name="message">A sentence for the log; without secrets.</param>
/// <param name="isPermanent">Whether the store takes no more writes until the process is started anew.</param>
public sealed class MetadataWriteException(string message, bool isPermanent, Exception? inner) : IOException(message, inner)
{
    /// <summary>False when the disk was full: a later write may succeed. True after any other failed write or sync.</summary>
    public bool IsPermanent { get; } = isPermanent;
}
