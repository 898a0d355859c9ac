namespace Sallyport.Settings;

/// <summary>The storage account that files of devices go to, instead of the data directory.</summary>
internal sealed record UploadAccountSettings
{
    /// <summary>The file with the account's connection string. Null: files go to the data directory.</summary>
    public string? ConnectionStringFile { get; init; }

    /// <summary>The container in it; it must be there.</summary>
    public string Container { get; init; } = "uploads";
}

/// <summary>Keys of <c>Uploads</c>.</summary>
internal static class UploadSettings
{
    public static readonly IReadOnlyList<Setting> Table =
    [
        Setting.Whole("Uploads:MaxActive", 1, 1000, "File uploads of one device that are under way; another one is refused with 403006. Default: 10, as Azure IoT Hub.",
            (s, v) => s with { Uploads = s.Uploads with { MaxActive = (int)v } }, s => s.Uploads.MaxActive),
        Setting.Whole("Uploads:UriLifetimeMinutes", 1, 1440, "Minutes that a URL can be written to which a device got for an upload. Default: 60, as Azure IoT Hub.",
            (s, v) => s with { Uploads = s.Uploads with { UriLifetime = TimeSpan.FromMinutes(v) } }, s => (long)s.Uploads.UriLifetime.TotalMinutes),
        Setting.Whole("Uploads:MaxFileBytes", 1, 5_000L << 20, "Bytes of one uploaded file; a larger one is refused with 413. Default: 1073741824 (1 GiB).",
            (s, v) => s with { Uploads = s.Uploads with { MaxFileBytes = v } }, s => s.Uploads.MaxFileBytes),
        Setting.Whole("Uploads:MaxDeviceBytes", 1, 1L << 50, "Bytes of one device's files in the data directory, those under way included; at the bound its bodies are refused with 507. Default: 2147483648 (2 GiB).",
            (s, v) => s with { Uploads = s.Uploads with { MaxDeviceBytes = v } }, s => s.Uploads.MaxDeviceBytes),
        Setting.Whole("Uploads:MaxBytes", 1, 1L << 50, "Bytes of all devices' files in the data directory; at the bound bodies are refused with 507. Default: 21474836480 (20 GiB).",
            (s, v) => s with { Uploads = s.Uploads with { MaxBytes = v } }, s => s.Uploads.MaxBytes),
        Setting.Whole("Uploads:ReserveBytes", 0, 1L << 50, "Bytes of the disk that uploads leave free, for the event log and the metadata; at the bound bodies are refused with 507. Default: 1073741824 (1 GiB).",
            (s, v) => s with { Uploads = s.Uploads with { ReserveBytes = v } }, s => s.Uploads.ReserveBytes),
        Setting.Whole("Uploads:MaxBodies", 1, 10_000, "Bodies that the built-in blob endpoint receives at a time; others wait 30 s for their turn, then they are refused with 503. Default: 256.",
            (s, v) => s with { Uploads = s.Uploads with { MaxBodies = (int)v } }, s => s.Uploads.MaxBodies),
        Setting.Whole("Uploads:MaxDeviceBodies", 1, 1000, "The same of one device. Default: 20, what SDKs send at a time.",
            (s, v) => s with { Uploads = s.Uploads with { MaxDeviceBodies = (int)v } }, s => s.Uploads.MaxDeviceBodies),
        Setting.Switch("Uploads:Notify", "Tell services of each file upload that is done. Default: true; Azure IoT Hub's enableFileUploadNotifications is false.",
            (s, v) => s with { Uploads = s.Uploads with { Notify = v } }, s => s.Uploads.Notify),
        Setting.Whole("Uploads:NotificationTimeToLiveMinutes", 1, 2880, "Minutes that a file notification waits for a receiver. Default: 60, as Azure IoT Hub.",
            (s, v) => s with { Uploads = s.Uploads with { NotificationTimeToLive = TimeSpan.FromMinutes(v) } }, s => (long)s.Uploads.NotificationTimeToLive.TotalMinutes),
        Setting.Whole("Uploads:NotificationLockSeconds", 5, 300, "Seconds that a file notification is one receiver's. Default: 60, as Azure IoT Hub.",
            (s, v) => s with { Uploads = s.Uploads with { NotificationLockDuration = TimeSpan.FromSeconds(v) } }, s => (long)s.Uploads.NotificationLockDuration.TotalSeconds),
        Setting.Whole("Uploads:NotificationMaxDeliveryCount", 1, 100, "How often a file notification may be abandoned; the last time it is dropped. Default: 100, as Azure IoT Hub.",
            (s, v) => s with { Uploads = s.Uploads with { NotificationMaxDeliveryCount = (int)v } }, s => s.Uploads.NotificationMaxDeliveryCount),
        Setting.Path("Uploads:AccountConnectionStringFile", "File with the connection string of an Azure-compatible storage account; files of devices go there, and not to the data directory. Readable by the hub's user alone. Default: none.",
            (s, v) => s with { UploadAccount = s.UploadAccount with { ConnectionStringFile = v } }, s => s.UploadAccount.ConnectionStringFile),
        Setting.Text("Uploads:AccountContainer", "Container of that account; it must be there. Default: uploads.",
            (s, v) => s with { UploadAccount = s.UploadAccount with { Container = v } }, s => s.UploadAccount.Container),
    ];
}
