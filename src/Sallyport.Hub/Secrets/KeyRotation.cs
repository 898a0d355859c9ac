using Microsoft.Extensions.Logging;
using Sallyport.Hub.Audit;
using Sallyport.Protocol.Errors;
using Sallyport.Storage;
using Sallyport.Storage.Metadata;
using Sallyport.Storage.Secrets;

namespace Sallyport.Hub.Secrets;

/// <summary>How far the rotation is that this process ran last.</summary>
public enum RotationState
{
    /// <summary>There was none since the start.</summary>
    None,
    Running,
    Finished,
    Failed,
}

/// <param name="Resealed">How many secrets it sealed with the newest key, of those that older keys sealed when it began.</param>
/// <param name="Message">What is left to do, or why it failed; null when there is nothing to say.</param>
public sealed record RotationProgress(RotationState State, long Resealed, long Total, DateTimeOffset? Started, string? Message);

/// <param name="Seals">How many stored secrets it seals.</param>
public sealed record KeyUse(string Id, bool IsNewest, long Seals);

/// <summary>
/// Puts a new master key in the place of the old one while the hub runs: the key file gets the new key on top, every secret is sealed anew, and
/// when nothing is sealed with the old key any more it is taken out of the file. Every step is durable before the next; whoever is killed
/// between two of them starts with both keys, and the next <see cref="StartAsync"/> goes on instead of making a third. Thread-safe.
/// </summary>
/// <remarks>The order of the steps, and what of the old key is kept for what is never rewritten, is in <c>docs/formats/data-directory.md</c>.</remarks>
public sealed class KeyRotation : IAsyncDisposable
{
    private readonly SqliteMetadata _metadata;
    private readonly SecretBox _secrets;
    private readonly HeldKeys _keys;
    private readonly AuditKeys _auditKeys;
    private readonly IAuditTrail _audit;
    private readonly TimeProvider _time;
    private readonly ILogger _log;
    private readonly Action<string> _afterStep;
    private readonly SemaphoreSlim _oneStart = new(1, 1);
    private readonly CancellationTokenSource _stop = new();
    private volatile RotationProgress _progress = new(RotationState.None, 0, 0, null, null);
    private Task _run = Task.CompletedTask;

    /// <param name="secrets">What the metadata is sealed with.</param>
    /// <param name="auditKeys">What the trail is signed with.</param>
    public KeyRotation(SqliteMetadata metadata, SecretBox secrets, HeldKeys keys, AuditKeys auditKeys, IAuditTrail audit, TimeProvider time, ILogger log)
        : this(metadata, secrets, keys, auditKeys, audit, time, log, _ => { })
    {
    }

    /// <inheritdoc cref="KeyRotation(SqliteMetadata, SecretBox, HeldKeys, AuditKeys, IAuditTrail, TimeProvider, ILogger)"/>
    /// <param name="afterStep">A test stops it here, as a crash would.</param>
    internal KeyRotation(
        SqliteMetadata metadata, SecretBox secrets, HeldKeys keys, AuditKeys auditKeys, IAuditTrail audit, TimeProvider time, ILogger log, Action<string> afterStep) =>
        (_metadata, _secrets, _keys, _auditKeys, _audit, _time, _log, _afterStep) = (metadata, secrets, keys, auditKeys, audit, time, log, afterStep);

    public RotationProgress Progress => _progress;

    /// <summary>The rotation that runs or ran last; for tests.</summary>
    internal Task Run => _run;

    /// <summary>The keys of the key file, the newest first, and how many secrets each seals; those of keys that are not here come last. Reads every row.</summary>
    public IReadOnlyList<KeyUse> Uses()
    {
        var counts = SecretRewrite.CountByKey(_metadata);
        var ids = _keys.Ring.Keys.Select(key => key.Id).ToList();
        return [.. ids.Concat(counts.Keys.Except(ids).Order(StringComparer.Ordinal)).Select((id, at) => new KeyUse(id, at == 0, counts.GetValueOrDefault(id)))];
    }

    /// <summary>
    /// Begins, and goes on by itself; or goes on with what a crash, or a key that somebody put on top of the key file, left to do. When it
    /// completes, the new key is in the key file.
    /// </summary>
    /// <exception cref="HubException">409: one is under way, or the hub cannot write the key file; 503: the audit trail cannot be written.</exception>
    public async ValueTask<RotationProgress> StartAsync(Actor actor, CancellationToken cancel)
    {
        await _oneStart.WaitAsync(cancel).ConfigureAwait(false);
        try
        {
            if (!_run.IsCompleted)
                throw new HubException(HubErrors.Conflict, "a rotation is under way; secrets show says how far it is");

            if (_keys.OldIds.Count == 0)
                await AddKeyAsync(actor, cancel).ConfigureAwait(false);
            else
                await _audit.RequireAsync(actor.Done("secrets rotate", Targets()), cancel).ConfigureAwait(false);

            var total = Uses().Where(use => !use.IsNewest).Sum(use => use.Seals);
            _progress = new RotationProgress(RotationState.Running, 0, total, _time.GetUtcNow(), null);
            _run = Task.Run(() => RunAsync(actor), CancellationToken.None);
            return _progress;
        }
        finally
        {
            _oneStart.Release();
        }
    }

    /// <summary>Stops after the transaction that it is at; the next start of a hub finds the rest to do.</summary>
    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        await _run.ConfigureAwait(false);
        _stop.Dispose();
        _oneStart.Dispose();
    }

    private string Targets() => $"{string.Join(", ", _keys.OldIds)} -> {_keys.Ring.Current.Id}";

    private async ValueTask AddKeyAsync(Actor actor, CancellationToken cancel)
    {
        if (!_keys.CanChangeFile)
        {
            throw new HubException(
                HubErrors.Conflict,
                $"the key comes from the systemd credential {KeyFile.CredentialName}, which the hub cannot write: put a new line above the one in the file that LoadCredential names (sallyport-key:1: and what openssl rand -base64 32 prints), start the hub anew, and rotate again");
        }

        var newest = MasterKey.Random();
        var target = $"{_keys.Ring.Current.Id} -> {newest.Id}";
        await _audit.RequireAsync(actor.Done("secrets rotate", target), cancel).ConfigureAwait(false);
        _afterStep("recorded");
        try
        {
            _keys.Add(newest);
        }
        catch (UnusableDataException unusable)
        {
            _audit.Note(actor.Refused("secrets rotate", target, "the key file was not written"));
            throw new HubException(HubErrors.Conflict, unusable.Message);
        }

        _afterStep("key added");
    }

    private async Task RunAsync(Actor actor)
    {
        try
        {
            var left = await RotateAsync(actor).ConfigureAwait(false);
            _progress = _progress with { State = RotationState.Finished, Message = left };
            _log.RotationFinished(_keys.Ring.Current.Id, _progress.Resealed);
        }
        catch (OperationCanceledException) when (_stop.IsCancellationRequested)
        {
            _progress = _progress with { State = RotationState.Failed, Message = "the hub stopped: start it and run secrets rotate again" };
        }
        catch (Exception failure)
        {
            // Whoever asked reads it; nothing depends on it, because both keys are held until the end.
            _progress = _progress with { State = RotationState.Failed, Message = failure.Message };
            _log.RotationFailed(failure);
        }
    }

    /// <returns>What somebody has to do by hand; null when nothing.</returns>
    private async Task<string?> RotateAsync(Actor actor)
    {
        _keys.RecordNewest();
        _afterStep("key id recorded");

        // From here on everything new is sealed, marked and signed with the newest key.
        _secrets.Use(_keys.Ring);
        _auditKeys.Use(_keys.Ring);
        _afterStep("key in use");

        var unreadable = await SecretRewrite.RunAsync(_metadata, Committed, _stop.Token).ConfigureAwait(false);
        _afterStep("everything resealed");

        var old = _keys.OldIds;
        var sealedStill = Uses().Where(use => old.Contains(use.Id)).Sum(use => use.Seals);
        if (sealedStill > 0)
        {
            throw new UnusableDataException(
                $"{sealedStill} {(sealedStill == 1 ? "secret names" : "secrets name")} an old key and cannot be opened, so the old key stays in the key file: renew or delete these, then run secrets rotate again. {string.Join(" ", unreadable.First)}");
        }

        // The entry is the first that the newest key signs, in a file of its own.
        await _audit.RequireAsync(actor.Done("secrets retire-key", string.Join(", ", old)), CancellationToken.None).ConfigureAwait(false);
        _afterStep("retirement recorded");
        _keys.KeepRetired();
        _afterStep("retired keys kept");
        if (!_keys.CanChangeFile)
            return $"nothing is sealed with key {string.Join(", ", old)} any more: take its line out of the file that the systemd credential {KeyFile.CredentialName} is loaded from";

        _keys.DropOld();
        _afterStep("old key dropped");
        _secrets.Use(_keys.Ring);
        _auditKeys.Use(_keys.Ring);
        return null;
    }

    private Task Committed(long resealed)
    {
        _progress = _progress with { Resealed = _progress.Resealed + resealed };
        _afterStep("page resealed");
        return Task.CompletedTask;
    }
}

/// <summary>Event ids 7200 to 7209.</summary>
internal static partial class KeyRotationLog
{
    [LoggerMessage(7200, LogLevel.Information, "Secrets are sealed with key {KeyId}: {Count} were sealed anew, and no older key is needed")]
    public static partial void RotationFinished(this ILogger log, string keyId, long count);

    [LoggerMessage(7201, LogLevel.Error, "The rotation of the key that seals secrets stopped; the key file holds both keys, and secrets rotate goes on")]
    public static partial void RotationFailed(this ILogger log, Exception error);
}
