using System.Globalization;
using System.Security.Cryptography;

namespace Sallyport.Hub.Audit;

/// <summary>One line of an audit file, as bytes.</summary>
/// <param name="Text">Without its end of line; valid until the next is read. Empty when it is longer than <see cref="AuditFiles.MaxLineBytes"/>.</param>
/// <param name="Position">Where it begins, in bytes.</param>
/// <param name="Number">1 is the file's first line.</param>
/// <param name="IsEnded">Its end of line is there.</param>
internal readonly record struct FileLine(ReadOnlyMemory<byte> Text, long Position, long Number, bool IsEnded);

/// <summary>The files of a trail: their names, and how they are read while the hub may be writing the newest.</summary>
internal static class AuditFiles
{
    /// <summary>No entry is longer than 32 KiB; a first line that lists files of version 1 may be. What is longer cannot be an entry.</summary>
    public const int MaxLineBytes = 1024 * 1024;

    private const string Pattern = "audit-????????.jsonl";

    public static string NameOf(int number) => string.Create(CultureInfo.InvariantCulture, $"audit-{number:00000000}.jsonl");

    public static string PathOf(string directory, int number) => Path.Combine(directory, NameOf(number));

    /// <summary>The paths, oldest first, with the number in each name; 0 for a name that is none.</summary>
    public static List<(string Path, int Number)> List(string directory) =>
        [.. Directory.EnumerateFiles(directory, Pattern).Order(StringComparer.Ordinal).Select(path => (path, NumberOf(path)))];

    public static FileStream OpenToRead(string path) =>
        new(path, new FileStreamOptions { Mode = FileMode.Open, Access = FileAccess.Read, Share = FileShare.ReadWrite | FileShare.Delete, BufferSize = 128 * 1024 });

    /// <summary>The lines of the first <paramref name="length"/> bytes.</summary>
    public static IEnumerable<FileLine> Lines(Stream file, long length)
    {
        var buffer = new byte[8 * 1024];
        var (used, position, number) = (0, 0L, 1L);
        var isTooLong = false;
        for (var read = 0L; read < length; read++)
        {
            var one = file.ReadByte();
            if (one < 0)
                break;
            if (one == '\n')
            {
                yield return new FileLine(isTooLong ? default : buffer.AsMemory(0, used), position, number++, true);
                (used, position, isTooLong) = (0, read + 1, false);
                continue;
            }

            isTooLong |= used == MaxLineBytes;
            if (isTooLong)
                continue;
            if (used == buffer.Length)
                Array.Resize(ref buffer, buffer.Length * 2);
            buffer[used++] = (byte)one;
        }

        if (used > 0)
            yield return new FileLine(isTooLong ? default : buffer.AsMemory(0, used), position, number, false);
    }

    /// <summary>SHA-256 of the last bytes of a file, or of all of it, in hex.</summary>
    public static string DigestOf(string path, long from = 0)
    {
        using var file = OpenToRead(path);
        file.Position = from;
        return Convert.ToHexStringLower(SHA256.HashData(file));
    }

    private static int NumberOf(string path) =>
        int.TryParse(Path.GetFileName(path).AsSpan(6, 8), NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : 0;
}
