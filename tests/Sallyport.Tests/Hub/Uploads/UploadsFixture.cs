using System.Text;
using Sallyport.Hub.Access;
using Sallyport.Hub.Limits;
using Sallyport.Hub.Physical;
using Sallyport.Hub.Uploads;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Storage.Blobs;
using Sallyport.Storage.Metadata;
using Sallyport.Storage.Secrets;
using Sallyport.Tests.Hub.Access;
using Sallyport.Tests.Storage;
using Sallyport.Tests.Storage.Metadata;

namespace Sallyport.Tests.Hub.Uploads;

/// <summary>Uploads over a real store and a real directory, with a clock of their own. The devices d1 and d2 are registered.</summary>
internal sealed class UploadsFixture : IAsyncDisposable
{
    public const string Host = "hub.test:8443";
    public static readonly Identity D1 = Identity.Of("d1");
    public static readonly Identity D2 = Identity.Of("d2");

    private readonly TemporaryDirectory _directory = new();
    private readonly SqliteFixture _files = new();
    private readonly string _path;
    private readonly string _blobs;
    private int _crashes;

    private UploadsFixture(UploadOptions options, string? path = null, string? blobs = null)
    {
        Options = options;
        _path = path ?? _files.Path;
        _blobs = blobs ?? _directory["blobs"];
    }

    public UploadOptions Options { get; }
    public StepTime Time { get; private init; } = new(new DateTimeOffset(2026, 1, 2, 12, 0, 0, TimeSpan.Zero));
    public KeyRing Ring { get; set; } = new(SqliteFixture.Key);
    public QuarantineLine Line { get; } = new();
    public SqliteMetadata Metadata { get; private set; } = null!;
    public IdentityCache Identities { get; private set; } = null!;
    public BlobFiles Files { get; private set; } = null!;
    public BlobSignature Signature { get; private set; } = null!;
    public BodyTurns Turns { get; private set; } = null!;
    public BuiltInBlobs Blobs { get; private set; } = null!;
    public FileNotifications Notifications { get; private set; } = null!;
    public FileUploads Uploads { get; private set; } = null!;

    /// <summary>Everything under the directory of blobs, sorted.</summary>
    public string[] OnDisk => [.. Directory.EnumerateFiles(_blobs, "*", SearchOption.AllDirectories).Select(file => Path.GetRelativePath(_blobs, file)).Order(StringComparer.Ordinal)];

    public static async Task<UploadsFixture> OpenAsync(UploadOptions? options = null)
    {
        var fixture = new UploadsFixture((options ?? new UploadOptions()) with { ReserveBytes = options?.ReserveBytes is { } given && given != new UploadOptions().ReserveBytes ? given : 0 });
        await fixture.StartAsync();
        await fixture.PutAsync(D1);
        await fixture.PutAsync(D2);
        return fixture;
    }

    /// <summary>As after a crash: what was in memory is gone.</summary>
    public async Task RestartAsync()
    {
        Turns.Dispose();
        await Metadata.DisposeAsync();
        await StartAsync();
    }

    /// <summary>Another hub over what a crash leaves now: the files as they are, in the middle of a write or not.</summary>
    public async Task<UploadsFixture> AfterCrashAsync()
    {
        var (copy, blobs) = ($"{_path}.crash-{_crashes}", $"{_blobs}.crash-{_crashes++}");

        // What was there when the database was as it is copied was there before or is there after it; what is there too much belongs to nothing.
        CopyBlobs(blobs);
        File.Copy(_path, copy);
        File.Copy(_path + "-wal", copy + "-wal");
        CopyBlobs(blobs);
        var after = new UploadsFixture(Options, copy, blobs) { Time = Time };
        await after.StartAsync();
        return after;
    }

    public async Task PutAsync(Identity device, string generation = "g1", bool enabled = true)
    {
        await Metadata.WriteAsync(tx =>
        {
            Metadata.Identities.Put(tx, AccessFixture.Record(device) with { GenerationId = generation, Enabled = enabled });
            return true;
        });
        Identities.Invalidate(device);
    }

    public async Task DeleteAsync(Identity device)
    {
        await Metadata.WriteAsync(tx => Metadata.Identities.Delete(tx, device.DeviceId, null));
        Identities.Invalidate(device);
    }

    public async Task<UploadRecord> BeginAsync(string name, Identity? device = null) =>
        (await Uploads.BeginAsync(device ?? D1, "g1", name, Host, CancellationToken.None)).Upload;

    public Task EndAsync(UploadRecord upload, bool isSuccess = true) =>
        Uploads.EndAsync(Identity.Of(upload.DeviceId), "g1", upload.Id, isSuccess, Host, CancellationToken.None).AsTask();

    /// <summary>What opens an upload, checked as the endpoint checks it.</summary>
    public OpenUpload Admit(UploadRecord upload) => Blobs.Admit(new BlobGrant(upload.Id, null, upload.Expires), BlobName.Full(upload.DeviceId, upload.BlobName));

    public Task PutBlockAsync(UploadRecord upload, string id, string content) =>
        Blobs.PutBlockAsync(Admit(upload), Hex(id), Body(content), CancellationToken.None);

    public Task<BlobRecord> CommitAsync(UploadRecord upload, params string[] ids) =>
        Blobs.CommitAsync(Admit(upload), [.. ids.Select(id => new ListedBlock(BlockSource.Latest, Hex(id)))], new BlobHeaders("text/plain"), CancellationToken.None);

    public Task<BlobRecord> PutAsync(UploadRecord upload, string content, BlobHeaders? headers = null) =>
        Blobs.PutAsync(Admit(upload), Body(content), headers ?? new BlobHeaders("text/plain"), CancellationToken.None);

    /// <summary>What is in a file; null when there is none.</summary>
    public async Task<string?> ReadAsync(string full)
    {
        if (Blobs.Find(full) is not { } blob)
            return null;

        using var target = new MemoryStream();
        await Blobs.CopyToAsync(blob, 0, blob.Bytes, target, CancellationToken.None);
        return Encoding.UTF8.GetString(target.ToArray());
    }

    public async Task LookAfterAsync(TimeSpan later = default)
    {
        Time.Advance(later);
        await Blobs.LookAfterAsync();
        await Notifications.LookAfterAsync();
    }

    public static string Hex(string id) => Convert.ToHexStringLower(Encoding.UTF8.GetBytes(id));

    public static BlobBody Body(string content) => new(new MemoryStream(Encoding.UTF8.GetBytes(content)), Encoding.UTF8.GetByteCount(content), null, null);

    public static async Task RefusedAsync(BlobError error, Func<Task> act) => Assert.Same(error, (await Assert.ThrowsAsync<BlobException>(act)).Error);

    public static async Task RefusedAsync(HubError error, Func<Task> act) => Assert.Same(error, (await Assert.ThrowsAsync<HubException>(act)).Error);

    public async ValueTask DisposeAsync()
    {
        Turns.Dispose();
        await Metadata.DisposeAsync();
        _files.Dispose();
        _directory.Dispose();
    }

    private async Task StartAsync()
    {
        Metadata = await _files.OpenAsync(_path);
        Identities = new IdentityCache(Metadata);
        Files = new BlobFiles(_blobs);
        Signature = new BlobSignature(() => Ring, Time);
        Turns = new BodyTurns(Options, Time);
        Blobs = new BuiltInBlobs(Metadata, Files, Signature, Identities, Line, Turns, Options, Time);
        Notifications = new FileNotifications(Metadata, Options, Time);
        Uploads = new FileUploads(Metadata, Blobs, Notifications, Line, new Quotas(new QuotaOptions(), Time), Options, Time);
    }

    private void CopyBlobs(string to)
    {
        Directory.CreateDirectory(to);
        foreach (var file in Directory.EnumerateFiles(_blobs, "*", SearchOption.AllDirectories))
        {
            var copy = Path.Combine(to, Path.GetRelativePath(_blobs, file));
            Directory.CreateDirectory(Path.GetDirectoryName(copy)!);
            try
            {
                File.Copy(file, copy, overwrite: true);
            }
            catch (IOException) when (!File.Exists(file))
            {
                // It went meanwhile.
                continue;
            }
        }
    }
}
