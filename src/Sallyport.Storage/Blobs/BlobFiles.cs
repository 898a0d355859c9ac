namespace Sallyport.Storage.Blobs;

/// <summary>
/// What devices uploaded, in <c>DIR/blobs</c>: a directory per upload, named by its id (32 hex digits). No name that a device chose is ever
/// part of a path. Described in <c>docs/formats/blobs.md</c>. Thread-safe.
/// </summary>
public sealed class BlobFiles
{
    /// <param name="path">Made with mode 0700 when missing.</param>
    public BlobFiles(string path)
    {
        Path = System.IO.Path.GetFullPath(path);
        Directory.CreateDirectory(Path, PrivateFile.DirectoryMode);
    }

    /// <summary>Absolute.</summary>
    public string Path { get; }

    /// <summary>The directory of an upload; it need not exist.</summary>
    /// <exception cref="ArgumentException">The id is none.</exception>
    public BlobDirectory Of(string uploadId) => IsId(uploadId) ? new BlobDirectory(System.IO.Path.Combine(Path, uploadId)) : throw new ArgumentException("an upload's id has 32 hex digits", nameof(uploadId));

    /// <summary>The ids of uploads that have a directory.</summary>
    public IEnumerable<string> List() => Directory.EnumerateDirectories(Path).Select(System.IO.Path.GetFileName).OfType<string>().Where(IsId);

    /// <summary>Bytes that the disk has left for this process.</summary>
    public long FreeBytes() => new DriveInfo(Path).AvailableFreeSpace;

    private static bool IsId(string id) => id.Length == 32 && id.All(char.IsAsciiHexDigitLower);
}

/// <summary>A part of a file: a block that was put, or a body that was put whole.</summary>
/// <param name="Name">Its file in the directory.</param>
/// <param name="BlockId">Hex; empty for a body that was put whole.</param>
/// <param name="Number">A later one of the same block id has a higher number.</param>
public readonly record struct BlobPart(string Name, string BlockId, long Number, long Bytes);
