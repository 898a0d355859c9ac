using System.Buffers;
using System.Text.Json;
using System.Text.Json.Nodes;
using Sallyport.Hub.Access;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Registry;
using Sallyport.Hub.Twins;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Moving;

/// <summary>
/// Writes every identity with its twin into a blob, a page at a time: the memory of a page and a block, however many there are. Begun anew when the hub
/// was; the blob is there when it is whole. Thread-safe.
/// </summary>
public sealed class RegistryExport(IMetadata metadata, IJobContainers containers, PrivilegedReads reads, TimeProvider time, MovedConfigurations? configurations = null)
{
    /// <summary>Devices read at a time, in one snapshot; a device with 50 modules and full twins is 4 MB of lines.</summary>
    private const int PageDevices = 100;

    /// <summary>Bytes of a block of the blob. Azure takes 50,000 blocks: 50 GB.</summary>
    private const int BlockBytes = 1024 * 1024;

    /// <exception cref="Protocol.Errors.HubException">The creator may not any more.</exception>
    /// <exception cref="IOException">The container does not take it.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled, or the hub stops.</exception>
    internal async Task RunAsync(string id, RegistryJobCreator creator, CancellationToken cancel)
    {
        var state = new RegistryJobState(metadata, id);
        var job = state.Read();
        var settings = RegistryJobSettings.Of(job);
        var container = new Uri(RegistryJobSecret.Of(job).Output);
        var needed = settings.ExcludeKeys ? Rights.RegistryRead : Rights.RegistryRead | Rights.RegistrySecrets;
        if (!settings.ExcludeKeys)
            await reads.RecordAsync(creator.Require(needed), "device read-keys", "*", cancel).ConfigureAwait(false);

        var file = new BlockFile(containers.Create(container, settings.OutputBlob ?? RegistryJobSettings.DevicesBlob));
        var total = Math.Max(1, metadata.Read(metadata.Identities.CountDevices).Total);
        var (after, done) = ((string?)null, 0L);
        while (true)
        {
            var shown = creator.Require(needed).Rights & (settings.ExcludeKeys ? ~Rights.RegistrySecrets : (Rights)(-1));
            var (last, count) = metadata.Read(tx => WritePage(tx, file, after, shown));
            await file.SendAsync(cancel).ConfigureAwait(false);
            (after, done) = (last, done + count);
            if (last is null)
                break;
            await state.ChangeAsync(row => row with { Progress = (int)Math.Min(99, 100 * done / total), Lines = file.Lines }, cancel).ConfigureAwait(false);
        }

        if (settings.IncludeConfigurations)
        {
            var blob = containers.Create(container, settings.ConfigurationsBlobName ?? RegistryJobSettings.ConfigurationsBlob);
            await ExportConfigurationsAsync(creator.Require(Rights.ConfigurationManage), blob, cancel).ConfigureAwait(false);
        }

        await file.CommitAsync(cancel).ConfigureAwait(false);
        await state.ChangeAsync(row => row with { Lines = file.Lines }, cancel).ConfigureAwait(false);
    }

    // A device, and behind it its modules.
    private (string? Last, int Count) WritePage(MetadataTransaction tx, BlockFile file, string? after, Rights shown)
    {
        var page = metadata.Identities.ListDevices(tx, after, PageDevices);
        foreach (var device in page)
        {
            Write(tx, file, device, shown);
            foreach (var module in metadata.Identities.ListModules(tx, device.DeviceId))
                Write(tx, file, module, shown);
        }

        return (page.Count == PageDevices ? page[^1].DeviceId : null, page.Count);
    }

    private void Write(MetadataTransaction tx, BlockFile file, IdentityRecord record, Rights shown)
    {
        var identity = JsonSerializer.SerializeToNode(IdentityJson.Of(new IdentityState(record, IsConnected: false), shown), RegistryJson.Wire.IdentityJson)!.AsObject();
        var twin = shown.HasFlag(Rights.TwinRead) ? metadata.Twins.Find(tx, record.DeviceId, record.ModuleId) : null;
        file.Add(DevicesLine.Of(identity, twin is null ? null : JsonNode.Parse(TwinJson.Encode(new TwinState(record, IsConnected: false, twin)))!.AsObject()));
    }

    private async Task ExportConfigurationsAsync(Actor actor, IBlobWriting blob, CancellationToken cancel)
    {
        var file = new BlockFile(blob);
        var lines = await RegistryJobState.PersistAsync(() => (configurations ?? throw NoConfigurations()).ExportAsync(actor, cancel), time, cancel).ConfigureAwait(false);
        foreach (var line in lines)
        {
            file.Add([.. line, .. "\r\n"u8]);
            await file.SendAsync(cancel).ConfigureAwait(false);
        }

        await file.CommitAsync(cancel).ConfigureAwait(false);
    }

    internal static Protocol.Errors.HubException NoConfigurations() => new(Protocol.Errors.HubErrors.ArgumentInvalid, "includeConfigurations: this hub has no automatic configurations");

    /// <summary>Lines gathered into blocks. Not thread-safe.</summary>
    internal sealed class BlockFile(IBlobWriting blob)
    {
        private readonly ArrayBufferWriter<byte> _waiting = new(BlockBytes);

        public long Lines { get; private set; }

        public void Add(JsonObject line) => Add(DevicesLine.Encode(line));

        public void Add(ReadOnlySpan<byte> line)
        {
            _waiting.Write(line);
            Lines++;
        }

        /// <summary>Sends what is enough for blocks.</summary>
        public async Task SendAsync(CancellationToken cancel)
        {
            if (_waiting.WrittenCount < BlockBytes)
                return;

            await blob.AddAsync(_waiting.WrittenMemory, cancel).ConfigureAwait(false);
            _waiting.ResetWrittenCount();
        }

        public async Task CommitAsync(CancellationToken cancel)
        {
            if (_waiting.WrittenCount > 0)
                await blob.AddAsync(_waiting.WrittenMemory, cancel).ConfigureAwait(false);
            _waiting.ResetWrittenCount();
            await blob.CommitAsync(cancel).ConfigureAwait(false);
        }
    }
}
