using System.Text.Json;
using System.Text.Json.Nodes;
using Sallyport.Hub.Access;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Registry;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Moving;

/// <summary>
/// Brings the lines of a blob into the registry, as many in a transaction as a bulk request has items: the memory of those, however many there are.
/// How far it came is stored with what it did, so that a hub that died goes on where it was. Thread-safe.
/// </summary>
/// <remarks>
/// The file is gone through twice. First identities and twins; then who is below whom, because a scope names a parent by the generation that it had
/// in the other hub, and the parent has to be there. What of a batch's twins was done when the hub died is done once more: merging twice is merging
/// once, but the twin's ETag has moved on.
/// </remarks>
public sealed class RegistryImport(IMetadata metadata, DeviceRegistry registry, BulkChanges bulk, IJobContainers containers, TimeProvider time, MovedConfigurations? configurations = null)
{
    /// <summary>Lines that could not be imported; at so many the job fails, because the file is not what it was taken for.</summary>
    public int MaxErrors { get; init; } = 100_000;

    private const int IdentitiesPhase = 0;
    private const int ParentsPhase = 1;
    private const int ConfigurationsPhase = 2;
    private const int ErrorsPerPage = 500;
    private const int LinesPerNote = 5000;

    // Errors are numbered by their lines, those of a later phase behind all of an earlier one.
    private const long EntriesPerPhase = 1L << 40;

    /// <exception cref="HubException">The creator may not any more, or the hub could not for too long.</exception>
    /// <exception cref="IOException">The container cannot be read or written.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled, or the hub stops.</exception>
    internal async Task RunAsync(string id, RegistryJobCreator creator, CancellationToken cancel)
    {
        var state = new RegistryJobState(metadata, id);
        var settings = RegistryJobSettings.Of(state.Read());
        string? tooMany = null;
        try
        {
            if (state.Read().Phase == IdentitiesPhase)
                await EachBatchAsync(state, settings.InputBlob ?? RegistryJobSettings.DevicesBlob, batch => IdentitiesAsync(state, creator, batch, cancel), cancel).ConfigureAwait(false);
            if (state.Read().Phase == ParentsPhase)
                await EachBatchAsync(state, settings.InputBlob ?? RegistryJobSettings.DevicesBlob, batch => ParentsAsync(state, creator, batch, cancel), cancel).ConfigureAwait(false);
            if (state.Read().Phase == ConfigurationsPhase && settings.IncludeConfigurations)
                await EachBatchAsync(state, settings.ConfigurationsBlobName ?? RegistryJobSettings.ConfigurationsBlob, batch => ConfigurationsAsync(state, creator, batch, cancel), cancel).ConfigureAwait(false);
        }
        catch (TooManyErrorsException)
        {
            tooMany = $"more than {MaxErrors} lines could not be imported: the first of them are in {RegistryJobSettings.ErrorsBlob}";
        }

        await WriteErrorsAsync(state, cancel).ConfigureAwait(false);
        if (tooMany is not null)
            throw new HubException(HubErrors.ArgumentInvalid, tooMany);
    }

    // Goes through the rest of a file, a batch of different identities at a time, and steps on to the next phase.
    private async Task EachBatchAsync(RegistryJobState state, string blob, Func<Batch, Task> act, CancellationToken cancel)
    {
        var job = state.Read();
        await using (var reading = await containers.OpenAsync(new Uri(RegistryJobSecret.Of(job).Input!), blob, cancel).ConfigureAwait(false))
        {
            var lines = new BoundedLines(reading.Content, DevicesLine.MaxBytes);
            var batch = new Batch(job, reading.Bytes);
            while (await lines.ReadAsync(cancel).ConfigureAwait(false) is { } line)
            {
                if (line.Number <= job.SettledLines)
                    continue;

                // Up to the line that was stored last the batch is to end where it ended before.
                var item = DevicesLine.Parse(line, out var problem);
                if (batch.IsFull || (item is not null && batch.Has(item)) || (line.Number == job.Lines + 1 && batch.Count > 0))
                {
                    await act(batch).ConfigureAwait(false);
                    batch = new Batch(state.Read(), reading.Bytes);
                }

                batch.Add(line, item, problem);
            }

            if (batch.Count > 0)
                await act(batch).ConfigureAwait(false);
        }

        await state.ChangeAsync(row => row with { Phase = row.Phase + 1, Lines = 0, SettledLines = 0 }, cancel).ConfigureAwait(false);
    }

    private async Task IdentitiesAsync(RegistryJobState state, RegistryJobCreator creator, Batch batch, CancellationToken cancel)
    {
        var actor = creator.Require(Rights.RegistryWrite);
        var items = new Dictionary<IdentityRequestJson, BatchLine>(ReferenceEqualityComparer.Instance);
        var errors = new Dictionary<long, string>();
        foreach (var line in batch.Lines)
        {
            if (line.Problem is not null)
                errors[line.Number] = ImportErrorJson.Of(line.Problem);
            else if (Read(line.Item!, out var wrong) is { } item)
                items.Add(item, line);
            else
                errors[line.Number] = ImportErrorJson.Of(wrong);
        }

        // Without twins it is settled with its identities.
        var hasTwins = items.Keys.Any(BulkItem.HasTwin);
        if (batch.LastLine > batch.StoredLines)
        {
            await RegistryJobState.PersistAsync(
                () => bulk.ChangeIdentitiesAsync(actor, [.. items.Keys], (tx, refused) =>
                {
                    foreach (var (item, why) in refused)
                        errors[items[item].Number] = ImportErrorJson.Of(item.Id, item.ModuleId, why);
                    AddErrors(tx, state, errors, IdentitiesPhase, row => hasTwins ? row with { Lines = batch.LastLine } : Settled(row, batch.Percent / 2));
                }, cancel),
                time, cancel).ConfigureAwait(false);
            if (!hasTwins)
                return;
        }
        else
        {
            // Their identities were done before the hub died, and what was refused then is stored.
            errors = metadata.Read(tx => metadata.RegistryJobs.ListErrors(tx, batch.JobId, batch.SettledLines, DeviceRegistry.MaxBulkItems)).ToDictionary(error => error.Entry, error => error.Text);
        }

        var changed = items.Where(one => !errors.ContainsKey(one.Value.Number)).Select(one => one.Key).ToList();
        var refusals = await TwinsAsync(actor, changed, cancel).ConfigureAwait(false);
        var more = refusals.ToDictionary(refusal => items[refusal.Key].Number, refusal => ImportErrorJson.Of(refusal.Key.Id, refusal.Key.ModuleId, refusal.Value));
        await SettleAsync(state, batch, more, IdentitiesPhase, batch.Percent / 2, cancel).ConfigureAwait(false);

        RegistryJobRecord Settled(RegistryJobRecord row, int progress) => row with { Lines = batch.LastLine, SettledLines = batch.LastLine, Progress = progress };
    }

    // Those of the hub's own inability are tried again.
    private async Task<Dictionary<IdentityRequestJson, HubException>> TwinsAsync(Actor actor, List<IdentityRequestJson> items, CancellationToken cancel)
    {
        var refusals = new Dictionary<IdentityRequestJson, HubException>(ReferenceEqualityComparer.Instance);
        await RegistryJobState.PersistAsync(
            async () =>
            {
                foreach (var (item, why) in await bulk.ChangeTwinsAsync(actor, items, cancel).ConfigureAwait(false))
                    refusals[item] = why;
                items = [.. refusals.Where(refusal => refusal.Value.Error.HttpStatus is 429 or 503).Select(refusal => refusal.Key)];
                foreach (var item in items)
                    refusals.Remove(item);
                return items.Count == 0 ? true : throw new HubException(HubErrors.Throttled, HubErrors.Throttled.Meaning);
            },
            time, cancel).ConfigureAwait(false);
        return refusals;
    }

    private async Task ParentsAsync(RegistryJobState state, RegistryJobCreator creator, Batch batch, CancellationToken cancel)
    {
        var actor = creator.Require(Rights.RegistryWrite);
        var errors = new Dictionary<long, string>();
        var changes = new List<(BatchLine Line, IdentityChange Change)>();
        foreach (var line in batch.Lines.Where(line => line.Item is not null))
        {
            if (Read(line.Item!, out _) is not { ModuleId: null } item || BulkItem.Deletes(item) || BulkItem.IsOfTwin(item) || !Identity.TryCreate(item.Id, null, out var child))
                continue;

            var parent = DevicesLine.ParentOf(line.Item!, out var wording);
            if ((parent ?? wording) is null)
                continue;
            var (isThere, scope) = metadata.Read(tx => (
                metadata.Identities.Find(tx, child.DeviceId, null) is not null && !metadata.RegistryJobs.ListErrors(tx, batch.JobId, line.Number - 1, 1).Any(error => error.Entry == line.Number),
                parent is null ? wording : metadata.Identities.Find(tx, parent, null) is { IotEdge: true } edge ? edge.DeviceScope : null));
            if (!isThere)
                continue; // It is said already why not.
            if (scope is null)
                errors[line.Number] = ImportErrorJson.Of(item.Id, null, new HubException(HubErrors.ArgumentInvalid, $"it is without a parent: {parent} is no edge device here"));
            else
                changes.Add((line, new IdentityChange(child, PutMode.Update, new IdentityDraft { ParentScopes = new Given<IReadOnlyList<string>>(true, [scope]) }, EntityTagCondition.Any)));
        }

        // Most have none: how far it came is then worth a write only now and then.
        if (changes.Count == 0 && errors.Count == 0 && batch.LastLine - batch.SettledLines < LinesPerNote)
            return;

        await RegistryJobState.PersistAsync(
            () => registry.ChangeAsync(actor, [.. changes.Select(one => one.Change)], (tx, outcomes) =>
            {
                for (var i = 0; i < outcomes.Count; i++)
                {
                    if (outcomes[i] is { } why)
                        errors[changes[i].Line.Number] = ImportErrorJson.Of(changes[i].Change.Identity.DeviceId, null, new HubException(why.Error, $"it is without its parent: {why.Message}"));
                }

                AddErrors(tx, state, errors, ParentsPhase, row => row with { Lines = batch.LastLine, SettledLines = batch.LastLine, Progress = 50 + (batch.Percent * 49 / 100) });
            }, cancel),
            time, cancel).ConfigureAwait(false);
    }

    private async Task ConfigurationsAsync(RegistryJobState state, RegistryJobCreator creator, Batch batch, CancellationToken cancel)
    {
        var actor = creator.Require(MovedConfigurations.ToImport);
        var errors = new Dictionary<long, string>();
        foreach (var line in batch.Lines)
        {
            try
            {
                if (line.Item is null)
                    errors[line.Number] = ImportErrorJson.Of(line.Problem!);
                else
                    await ImportConfigurationAsync(actor, line.Item, cancel).ConfigureAwait(false);
            }
            catch (HubException why)
            {
                errors[line.Number] = ImportErrorJson.Of((string?)line.Item!["id"], null, why);
            }
        }

        await SettleAsync(state, batch, errors, ConfigurationsPhase, 99, cancel).ConfigureAwait(false);
    }

    private async ValueTask ImportConfigurationAsync(Actor actor, JsonObject line, CancellationToken cancel) => await RegistryJobState.PersistAsync(
        async () =>
        {
            await (configurations ?? throw RegistryExport.NoConfigurations()).ImportAsync(actor, line, cancel).ConfigureAwait(false);
            return true;
        },
        time, cancel).ConfigureAwait(false);

    private async Task SettleAsync(RegistryJobState state, Batch batch, Dictionary<long, string> errors, int phase, int progress, CancellationToken cancel) =>
        await RegistryJobState.PersistAsync(
            () => metadata.WriteAsync(
                tx =>
                {
                    AddErrors(tx, state, errors, phase, row => row with { Lines = batch.LastLine, SettledLines = batch.LastLine, Progress = progress });
                    return true;
                },
                cancel),
            time, cancel).ConfigureAwait(false);

    private void AddErrors(MetadataTransaction tx, RegistryJobState state, Dictionary<long, string> errors, int phase, Func<RegistryJobRecord, RegistryJobRecord> change)
    {
        var row = state.Require(tx);
        if (row.Errors + errors.Count > MaxErrors)
            throw new TooManyErrorsException();
        foreach (var (line, text) in errors)
            metadata.RegistryJobs.AddError(tx, row.Id, (phase * EntriesPerPhase) + line, text);
        metadata.RegistryJobs.Put(tx, change(row) with { Errors = row.Errors + errors.Count });
    }

    // IoT Hub writes it in any case; empty is good.
    private async Task WriteErrorsAsync(RegistryJobState state, CancellationToken cancel)
    {
        var job = state.Read();
        var file = new RegistryExport.BlockFile(containers.Create(new Uri(RegistryJobSecret.Of(job).Output), RegistryJobSettings.ErrorsBlob));
        var after = -1L;
        while (metadata.Read(tx => metadata.RegistryJobs.ListErrors(tx, job.Id, after, ErrorsPerPage)) is { Count: > 0 } page)
        {
            foreach (var (entry, text) in page)
            {
                file.Add(System.Text.Encoding.UTF8.GetBytes(text + "\r\n"));
                after = entry;
            }

            await file.SendAsync(cancel).ConfigureAwait(false);
        }

        await file.CommitAsync(cancel).ConfigureAwait(false);
    }

    private static IdentityRequestJson? Read(JsonObject line, out string problem)
    {
        problem = "";
        try
        {
            return DevicesLine.ToBulkItem(line, withETags: true).Deserialize(RegistryJson.Wire.IdentityRequestJson);
        }
        catch (JsonException e)
        {
            problem = $"the line is not what an identity needs: at {e.Path ?? "$"}";
            return null;
        }
    }

    private sealed class TooManyErrorsException : Exception;

    private sealed record BatchLine(long Number, JsonObject? Item, string? Problem);

    private sealed class Batch(RegistryJobRecord job, long fileBytes)
    {
        private readonly HashSet<(string, string?)> _names = [];
        private readonly List<BatchLine> _lines = [];
        private long _bytes;
        private int _size;

        public string JobId => job.Id;

        public IReadOnlyList<BatchLine> Lines => _lines;

        /// <summary>Lines whose identities were done when it began.</summary>
        public long StoredLines => job.Lines;

        public long SettledLines => job.SettledLines;

        public int Count { get; private set; }

        public long LastLine { get; private set; }

        public bool IsFull => Count >= DeviceRegistry.MaxBulkItems || _size > DevicesLine.MaxBytes;

        public int Percent => fileBytes == 0 ? 100 : (int)Math.Min(100, 100 * _bytes / fileBytes);

        public bool Has(JsonObject item) => _names.Contains(NameOf(item));

        /// <summary>An empty line counts, and is nothing.</summary>
        public void Add(BoundedLine line, JsonObject? item, string? problem)
        {
            (LastLine, _bytes) = (line.Number, line.Bytes);
            _size += line.Text.Length;
            Count++;
            if (item is not null)
                _names.Add(NameOf(item));
            if (item is not null || problem is not null)
                _lines.Add(new BatchLine(line.Number, item, problem));
        }

        private static (string, string?) NameOf(JsonObject item) => (item["id"]!.ToString(), item["moduleId"]?.ToString());
    }
}
