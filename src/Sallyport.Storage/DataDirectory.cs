using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using Microsoft.Win32.SafeHandles;

namespace Sallyport.Storage;

/// <summary>
/// A data directory that this process has for itself: the hub and every offline verb open it this way, so that two never write it
/// at once. Its layout is in <c>docs/formats/data-directory.md</c>. Thread-safe.
/// </summary>
/// <remarks>
/// The lock is the kernel's: it ends with the process, also by kill -9. A local file system is taken for granted.
/// </remarks>
public sealed class DataDirectory : IDisposable
{
    /// <summary>The newest format of the directory that this program knows.</summary>
    public const int FormatVersion = 1;

    private const string FormatName = "sallyport-data-directory";

    private static readonly JsonSerializerOptions Json = new(JsonSerializerDefaults.Web)
    {
        WriteIndented = true,
        UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow,
        RespectRequiredConstructorParameters = true,
    };

    private readonly SafeFileHandle _lock;
    private Description _description;

    private DataDirectory(string path, SafeFileHandle held, Description description)
    {
        Path = path;
        _lock = held;
        _description = description;
    }

    /// <summary>Absolute.</summary>
    public string Path { get; }

    /// <summary>16 hex digits, drawn when the directory was made.</summary>
    public string Id => _description.Id;

    /// <summary>Which master key its secrets are sealed with; null before there is one.</summary>
    public string? KeyId => Volatile.Read(ref _description).KeyId;

    public string LogPath => System.IO.Path.Combine(Path, "log");

    public string MetadataPath => System.IO.Path.Combine(Path, "metadata.db");

    public string TlsPath => System.IO.Path.Combine(Path, "tls");

    /// <summary>What connections write files into.</summary>
    public string SinksPath => System.IO.Path.Combine(Path, "sinks");

    internal string RetiredKeysPath => System.IO.Path.Combine(Path, Secrets.RetiredKeys.FileName);

    /// <summary>Files that devices uploaded.</summary>
    public string BlobsPath => System.IO.Path.Combine(Path, "blobs");

    public string AuditPath => System.IO.Path.Combine(Path, "audit");

    /// <summary>Where a hub that accepts connections says how to reach it.</summary>
    public string EndpointsPath => System.IO.Path.Combine(Path, "endpoints.json");

    private string FormatPath => System.IO.Path.Combine(Path, "format.json");

    /// <summary>Takes the directory for this process. A missing or empty one is made, with everything in it for its owner only.</summary>
    /// <param name="mustExist">For offline verbs: a directory that holds no data is refused instead.</param>
    /// <exception cref="DataDirectoryInUseException">Another process has it.</exception>
    /// <exception cref="UnusableDataException">It is not a directory, not ours, not writable, of a newer format, or holds something else.</exception>
    public static DataDirectory Open(string path, TimeProvider time, bool mustExist = false)
    {
        path = System.IO.Path.TrimEndingDirectorySeparator(System.IO.Path.GetFullPath(path));
        SafeFileHandle? held = null;
        try
        {
            Claim(path, mustExist);
            held = Lock(path);
            var directory = new DataDirectory(path, held, Describe(path, time, mustExist));
            foreach (var part in (string[])[directory.LogPath, directory.TlsPath, directory.SinksPath, directory.AuditPath, directory.BlobsPath])
                Directory.CreateDirectory(part, PrivateFile.DirectoryMode);
            Posix.SyncDirectory(path);
            held = null;
            return directory;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new UnusableDataException($"The data directory '{path}' cannot be used: {exception.Message}", exception);
        }
        finally
        {
            held?.Dispose();
        }
    }

    /// <summary>Notes which key seals from now on; durable when it returns.</summary>
    public void RecordKeyId(string keyId)
    {
        if (KeyId == keyId)
            return;

        var next = _description with { KeyId = keyId };
        Write(FormatPath, next);
        Volatile.Write(ref _description, next);
    }

    /// <summary>Gives the directory back.</summary>
    public void Dispose() => _lock.Dispose();

    private static void Claim(string path, bool mustExist)
    {
        if (File.Exists(path))
            throw new UnusableDataException($"'{path}' is a file, not a data directory: give another path with --data.");
        if (!Directory.Exists(path))
        {
            if (mustExist)
                throw new UnusableDataException($"There is no data directory '{path}': check --data.");

            // Parents are ordinary directories; only the last one is ours.
            if (System.IO.Path.GetDirectoryName(path) is { } parent)
                Directory.CreateDirectory(parent);
            Directory.CreateDirectory(path, PrivateFile.DirectoryMode);
        }

        var owner = Posix.OwnerOf(path);
        if (owner != Posix.EffectiveUser)
        {
            throw new UnusableDataException(
                $"The data directory '{path}' belongs to user id {owner} and this process runs as user id {Posix.EffectiveUser}: run it as its owner (sudo -u '#{owner}' …).");
        }

        // Others may have been let in by hand or by a restored backup: what is in it is not for them.
        if ((File.GetUnixFileMode(path) & ~PrivateFile.DirectoryMode) != 0)
            File.SetUnixFileMode(path, PrivateFile.DirectoryMode);
    }

    private static SafeFileHandle Lock(string path)
    {
        var file = Posix.OpenUnlocked(System.IO.Path.Combine(path, "lock"));
        try
        {
            if (!Posix.TryLock(file))
                throw new DataDirectoryInUseException(path, HolderOf(file));

            RandomAccess.SetLength(file, 0);
            RandomAccess.Write(file, Encoding.ASCII.GetBytes(Environment.ProcessId.ToString(CultureInfo.InvariantCulture) + "\n"), 0);
            return file;
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    private static int? HolderOf(SafeFileHandle file)
    {
        Span<byte> text = stackalloc byte[16];
        var length = RandomAccess.Read(file, text, 0);
        return int.TryParse(Encoding.ASCII.GetString(text[..length]).Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out var id) ? id : null;
    }

    private static Description Describe(string path, TimeProvider time, bool mustExist)
    {
        var formatPath = System.IO.Path.Combine(path, "format.json");
        if (File.Exists(formatPath))
            return Read(formatPath);

        // A crash before the first format.json leaves the lock alone; anything else is somebody's.
        var stranger = Directory.EnumerateFileSystemEntries(path).Select(System.IO.Path.GetFileName).FirstOrDefault(name => name is not ("lock" or "format.json.next"));
        if (mustExist || stranger is not null)
            throw new UnusableDataException($"'{path}' is not a data directory of Sallyport{(stranger is null ? "" : $" (it holds '{stranger}' but no format.json)")}: check --data.");

        var made = new Description(FormatName, FormatVersion, RandomNumberGenerator.GetHexString(16, lowercase: true), null, time.GetUtcNow());
        Write(formatPath, made);
        return made;
    }

    private static Description Read(string formatPath)
    {
        try
        {
            var bytes = File.ReadAllBytes(formatPath);

            // The version first: a newer format may hold what this program does not know.
            using (var document = JsonDocument.Parse(bytes))
            {
                if (document.RootElement.GetProperty("format").GetString() != FormatName)
                    throw new UnusableDataException($"'{formatPath}' does not describe a data directory of Sallyport: check --data.");
                if (document.RootElement.GetProperty("version").GetInt32() is var version && version is < 1 or > FormatVersion)
                    throw new UnusableDataException($"'{formatPath}' says data directory format {version}, and this Sallyport knows up to {FormatVersion}: start the newer Sallyport that wrote it, or restore a backup.");
            }

            return JsonSerializer.Deserialize<Description>(bytes, Json)!;
        }
        catch (Exception exception) when (exception is JsonException or KeyNotFoundException or InvalidOperationException or FormatException)
        {
            throw new UnusableDataException($"'{formatPath}' is damaged: restore it from a backup.", exception);
        }
    }

    private static void Write(string formatPath, Description description) =>
        PrivateFile.Replace(formatPath, JsonSerializer.SerializeToUtf8Bytes(description, Json));

    /// <summary><c>format.json</c>.</summary>
    private sealed record Description(string Format, int Version, string Id, string? KeyId, DateTimeOffset CreatedTime);
}
