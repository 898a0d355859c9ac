using System.Text.Json;
using System.Text.Json.Serialization;

namespace Sallyport.Storage.Secrets;

/// <summary>
/// What is kept of master keys that were taken out of the key file: the key of the event log and the keys that signed older files of
/// the audit trail, neither of which is ever rewritten. They open no secret. Stored in <c>DIR/retired-keys.json</c>, sealed with a master key
/// (<c>docs/formats/data-directory.md</c>). Immutable; never printed.
/// </summary>
/// <param name="LogMac">Null: the log's key comes from a key that is still in the key file.</param>
/// <param name="AuditMacs">By the id of their master key.</param>
internal sealed record RetiredKeys(byte[]? LogMac, IReadOnlyDictionary<string, byte[]> AuditMacs)
{
    public const string FileName = "retired-keys.json";

    private const string FormatName = "sallyport-retired-keys";
    private const int Version = 1;

    private static readonly JsonSerializerOptions Json = new(JsonSerializerDefaults.Web)
    {
        WriteIndented = true,
        UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow,
        RespectRequiredConstructorParameters = true,
    };

    public static RetiredKeys None { get; } = new(null, new Dictionary<string, byte[]>());

    /// <summary>Reads the file of a directory.</summary>
    /// <param name="path">Of the file; one that is not there is <see cref="None"/>.</param>
    /// <param name="keys">One of them sealed it.</param>
    /// <exception cref="UnusableDataException">It is damaged, newer, of another directory, or sealed with a key that is not here.</exception>
    public static RetiredKeys Read(string path, string directoryId, IReadOnlyList<MasterKey> keys)
    {
        if (!File.Exists(path))
            return None;

        try
        {
            var bytes = File.ReadAllBytes(path);

            // The version first: a newer format may hold what this program does not know.
            using (var document = JsonDocument.Parse(bytes))
            {
                if (document.RootElement.GetProperty("format").GetString() != FormatName || document.RootElement.GetProperty("version").GetInt32() is not (>= 1 and var version))
                    throw Damaged(path);
                if (version > Version)
                    throw new UnusableDataException($"'{path}' has format {version}, and this Sallyport knows up to {Version}: start the newer Sallyport that wrote it.");
            }

            var stored = JsonSerializer.Deserialize<Stored>(bytes, Json)!;
            using var box = new SecretBox(new KeyRing(keys));
            return new RetiredKeys(
                Convert.FromBase64String(box.Open(stored.LogMac, PlaceOf(directoryId, "log-mac", ""))),
                stored.AuditMacs.ToDictionary(mac => mac.Key, mac => Convert.FromBase64String(box.Open(mac.Value, PlaceOf(directoryId, "audit-mac", mac.Key)))));
        }
        catch (SecretUnreadableException unreadable)
        {
            throw new UnusableDataException($"'{path}' cannot be opened with the keys of the key file ({string.Join(", ", keys.Select(key => key.Id))}): {unreadable.Message}", unreadable);
        }
        catch (Exception exception) when (exception is JsonException or KeyNotFoundException or InvalidOperationException or FormatException)
        {
            throw Damaged(path, exception);
        }
    }

    /// <summary>Writes the file durably, sealed with the newest key.</summary>
    /// <exception cref="IOException">It cannot be written.</exception>
    public void Write(string path, string directoryId, MasterKey key)
    {
        using var box = new SecretBox(new KeyRing(key));
        PrivateFile.Replace(path, JsonSerializer.SerializeToUtf8Bytes(
            new Stored(
                FormatName, Version, box.Seal(Convert.ToBase64String(LogMac!), PlaceOf(directoryId, "log-mac", "")),
                AuditMacs.ToDictionary(mac => mac.Key, mac => box.Seal(Convert.ToBase64String(mac.Value), PlaceOf(directoryId, "audit-mac", mac.Key)))),
            Json));
    }

    public override string ToString() => $"retired keys {string.Join(", ", AuditMacs.Keys)}";

    private static SecretPlace PlaceOf(string directoryId, string purpose, string keyId) => new("retired-keys", directoryId, purpose, keyId);

    private static UnusableDataException Damaged(string path, Exception? inner = null) => new($"'{path}' is damaged: restore it from a backup.", inner);

    /// <summary>The file; envelopes are as in <c>docs/formats/metadata.md</c>, in base64.</summary>
    private sealed record Stored(string Format, int Version, byte[] LogMac, IReadOnlyDictionary<string, byte[]> AuditMacs);
}
