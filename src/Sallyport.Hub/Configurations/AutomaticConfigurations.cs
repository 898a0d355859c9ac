using System.Text.Json;
using Sallyport.Hub.Access;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Limits;
using Sallyport.Hub.Queries;
using Sallyport.Hub.Registry;
using Sallyport.Hub.Twins;
using Sallyport.Protocol.Errors;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Configurations;

/// <summary>
/// Automatic configurations and edge deployments (IoT Hub developer guide, "Automatic device and module management"): made, changed and deleted here; <see cref="ConfigurationRollout"/> makes
/// twins follow.
/// </summary>
/// <remarks>
/// Thread-safe. Refuses with <see cref="HubException"/>. A configuration reaches what its last writer reaches. Who is limited to some devices sees and changes the configurations of those who are
/// limited to these or to fewer.
/// </remarks>
public sealed partial class AutomaticConfigurations
{
    private static readonly byte[] NoMembers = "{}"u8.ToArray();
    private static readonly IReadOnlyDictionary<string, long> NoResults = new Dictionary<string, long>();

    private readonly IMetadata _metadata;
    private readonly DeviceTwins _twins;
    private readonly DeviceRegistry _registry;
    private readonly ConfigurationRollout _rollout;
    private readonly Func<string, (Rights Rights, Scope Scope)> _heldBy;
    private readonly ConfigurationOptions _options;
    private readonly ConfigurationMetrics _metrics;
    private readonly IAuditTrail _audit;
    private readonly Quotas _quotas;
    private readonly TimeProvider _time;

    public AutomaticConfigurations(
        IMetadata metadata, DeviceTwins twins, DeviceRegistry registry, TwinQueries queries, QueryLimits limits, ConfigurationRollout rollout, Policies policies, ConfigurationOptions options,
        IAuditTrail audit, Quotas quotas, TimeProvider time)
        : this(metadata, twins, registry, queries, limits, rollout, policies.HeldBy, options, audit, quotas, time)
    {
    }

    internal AutomaticConfigurations(
        IMetadata metadata, DeviceTwins twins, DeviceRegistry registry, TwinQueries queries, QueryLimits limits, ConfigurationRollout rollout, Func<string, (Rights Rights, Scope Scope)> heldBy,
        ConfigurationOptions options, IAuditTrail audit, Quotas quotas, TimeProvider time)
    {
        _metadata = metadata;
        _twins = twins;
        _registry = registry;
        _rollout = rollout;
        _heldBy = heldBy;
        _options = options;
        _metrics = new ConfigurationMetrics(metadata, queries, limits, time);
        _audit = audit;
        _quotas = quotas;
        _time = time;
    }

    /// <summary>The configuration, with what its metrics come to now.</summary>
    /// <exception cref="HubException">404: there is none of that id; 429.</exception>
    public async ValueTask<ConfigurationState> GetAsync(Actor actor, string id, CancellationToken cancel)
    {
        _quotas.TakeRegistryOperations(deviceId: null);
        return (await StatesOf(actor, [_metadata.Read(tx => Require(tx, actor, id))], cancel).ConfigureAwait(false))[0];
    }

    /// <summary>Configurations in the order of their making.</summary>
    /// <param name="top">At most so many.</param>
    /// <exception cref="HubException">429.</exception>
    public async ValueTask<IReadOnlyList<ConfigurationState>> ListAsync(Actor actor, int top, CancellationToken cancel)
    {
        _quotas.TakeRegistryOperations(deviceId: null);
        var records = _metadata.Read(_metadata.Configurations.List).Where(record => MaySee(actor, record)).Take(top).ToList();
        return await StatesOf(actor, records, cancel).ConfigureAwait(false);
    }

    /// <summary>Makes a configuration, or changes what may be changed of one: labels, target condition, priority, metrics.</summary>
    /// <param name="condition">Null makes one.</param>
    /// <exception cref="HubException">400; 403: there are as many as there may be; 404; 409: there is one of that id; 412; 429; 503: the audit trail is not durable.</exception>
    public async ValueTask<ConfigurationState> PutAsync(Actor actor, string id, ConfigurationDraft draft, EntityTagCondition? condition, CancellationToken cancel)
    {
        if (!ConfigurationDraft.IsValidId(id))
            throw new HubException(HubErrors.ArgumentInvalid, "id: 1 to 128 lower-case ASCII letters, digits and - : + % _ # * ? ! ( ) , = @ ; ' are needed");
        if (draft.Id is not null && draft.Id != id)
            throw new HubException(HubErrors.ArgumentInvalid, "id: is not the one in the path");

        var record = condition is { } match
            ? await DoAsync(actor, "configuration update", id, tx => Changed(tx, actor, id, draft, match), Update, cancel).ConfigureAwait(false)
            : await DoAsync(actor, "configuration create", id, tx => Made(tx, actor, id, draft), (tx, made) => made with { Number = _metadata.Configurations.Add(tx, made) }, cancel).ConfigureAwait(false);
        return (await StatesOf(actor, [record], cancel).ConfigureAwait(false))[0];
    }

    /// <summary>Deletes a configuration; what it has set in twins goes, and what the next one says is set.</summary>
    /// <exception cref="HubException">404; 412; 429; 503.</exception>
    public async ValueTask DeleteAsync(Actor actor, string id, EntityTagCondition condition, CancellationToken cancel) =>
        await DoAsync(
            actor, "configuration delete", id,
            tx =>
            {
                var record = Require(tx, actor, id);
                condition.Require(record.ETag);
                return record;
            },
            (tx, record) =>
            {
                _metadata.Configurations.Delete(tx, id);
                return record;
            },
            cancel).ConfigureAwait(false);

    /// <summary>What is wrong with a target condition and with queries of metrics, without making anything.</summary>
    /// <param name="body">IoT Hub's: <c>targetCondition</c>, <c>customMetricQueries</c>.</param>
    /// <returns>JSON: <c>targetConditionError</c> and <c>customMetricQueryErrors</c>.</returns>
    /// <exception cref="HubException">400: the body is none; 429.</exception>
    public byte[] Test(ReadOnlyMemory<byte> body)
    {
        _quotas.TakeRegistryOperations(deviceId: null);
        using var document = ConfigurationDraft.ParseBody(body, "a test of queries");
        return ConfigurationDraft.WithWholeTexts(() => Test(document.RootElement));
    }

    private static byte[] Test(JsonElement root)
    {
        string? targetError = null;
        if (ConfigurationDraft.Member(root, "targetCondition") is { } condition)
        {
            var text = condition.ValueKind is JsonValueKind.String ? condition.GetString()! : throw new HubException(HubErrors.ArgumentInvalid, "targetCondition: a text is needed");
            targetError = ErrorOf(() => TargetCondition.Check(text));
        }

        List<(string Name, string Error)> errors = [];
        if (ConfigurationDraft.Member(root, "customMetricQueries") is { } queries)
        {
            if (queries.ValueKind is not JsonValueKind.Object)
                throw new HubException(HubErrors.ArgumentInvalid, "customMetricQueries: an object is needed");
            foreach (var query in queries.EnumerateObject())
            {
                if (ErrorOf(() => TargetCondition.ReadMetric(query.Name, query.Value.ValueKind is JsonValueKind.String ? query.Value.GetString()! : "")) is { } error)
                    errors.Add((query.Name, error));
            }
        }

        return TwinJson.Write(256, json =>
        {
            json.WriteStartObject();
            json.WriteString("targetConditionError", targetError);
            json.WriteStartObject("customMetricQueryErrors");
            foreach (var (name, error) in errors)
                json.WriteString(name, error);
            json.WriteEndObject();
            json.WriteEndObject();
        });

        static string? ErrorOf(Action read)
        {
            try
            {
                read();
                return null;
            }
            catch (HubException wrong)
            {
                return wrong.Message;
            }
        }
    }

    private ConfigurationRecord Made(MetadataTransaction tx, Actor actor, string id, ConfigurationDraft draft)
    {
        if (_metadata.Configurations.Find(tx, id) is not null)
            throw new HubException(HubErrors.Conflict, $"there is a configuration {id} already; send If-Match to change it");
        if (_metadata.Configurations.List(tx).Count >= _options.MaxConfigurations)
            throw new HubException(HubErrors.TooManyConfigurations, $"a hub has at most {_options.MaxConfigurations} configurations; delete one");

        var content = draft.Content ?? throw new HubException(HubErrors.ArgumentNull, "content: is missing");
        var now = _time.GetUtcNow();
        return Checked(actor, content.Kind, new ConfigurationRecord
        {
            Id = id,
            ETag = 1,
            SchemaVersion = draft.SchemaVersion ?? "1.0",
            Labels = draft.Labels ?? NoMembers,
            Content = content.Json,
            TargetCondition = draft.TargetCondition ?? "",
            Priority = draft.Priority ?? 0,
            MetricQueries = draft.MetricQueries ?? NoMembers,
            CreatedTime = now,
            LastUpdatedTime = now,
            Writer = "",
            WriterRights = 0,
        });
    }

    private ConfigurationRecord Changed(MetadataTransaction tx, Actor actor, string id, ConfigurationDraft draft, EntityTagCondition condition)
    {
        var before = Require(tx, actor, id);
        condition.Require(before.ETag);
        if (draft.Content?.SaysWhat(before.Content) is false)
            throw new HubException(HubErrors.ArgumentInvalid, "content: cannot be changed; make another configuration of a higher priority, or delete this one and make it anew");

        return Checked(actor, SystemMetrics.KindOf(before), before with
        {
            ETag = before.ETag + 1,
            Labels = draft.Labels ?? before.Labels,
            TargetCondition = draft.TargetCondition ?? before.TargetCondition,
            Priority = draft.Priority ?? before.Priority,
            MetricQueries = draft.MetricQueries ?? before.MetricQueries,
            LastUpdatedTime = _time.GetUtcNow(),
        });
    }

    private static ConfigurationRecord Checked(Actor actor, ContentKind kind, ConfigurationRecord record)
    {
        TargetCondition.Read(record.TargetCondition, kind);
        return record with { Writer = actor.Principal, WriterRights = (long)actor.Rights };
    }

    private ConfigurationRecord Update(MetadataTransaction tx, ConfigurationRecord record)
    {
        _metadata.Configurations.Update(tx, record);
        return record;
    }

    private ConfigurationRecord Require(MetadataTransaction tx, Actor actor, string id) =>
        _metadata.Configurations.Find(tx, id) is { } record && MaySee(actor, record) ? record : throw new HubException(HubErrors.ConfigurationNotFound, $"there is no configuration {Printed(id)}");

    private bool MaySee(Actor actor, ConfigurationRecord record) => !actor.Scope.LimitsDevices || actor.Scope.Covers(_heldBy(record.Writer).Scope);

    private static string Printed(string id) => ConfigurationDraft.IsValidId(id) ? id : "of that id";

    private async ValueTask<IReadOnlyList<ConfigurationState>> StatesOf(Actor actor, IReadOnlyList<ConfigurationRecord> records, CancellationToken cancel)
    {
        var mayCount = actor.Rights.HasFlag(Rights.TwinRead);
        var system = mayCount ? _metrics.System(records, actor.Scope) : new Dictionary<string, IReadOnlyDictionary<string, long>>();
        var from = _time.GetTimestamp();
        List<ConfigurationState> states = [];
        foreach (var record in records)
        {
            var own = mayCount ? await _metrics.OwnAsync(record, actor.Scope, from, cancel).ConfigureAwait(false) : NoResults;
            var suspension = ConfigurationInForce.ScopeOf(record, _heldBy) is null ? $"{record.Writer}, who wrote it last, does not hold what it needs; write it with If-Match to take it over" : null;
            states.Add(new ConfigurationState(record, system.GetValueOrDefault(record.Id, NoResults), own, suspension));
        }

        return states;
    }

    // What cannot be done is found on a snapshot, so that the trail says "done" only of what is about to be.
    private async ValueTask<ConfigurationRecord> DoAsync(
        Actor actor, string act, string id, Func<MetadataTransaction, ConfigurationRecord> decide, Func<MetadataTransaction, ConfigurationRecord, ConfigurationRecord> apply, CancellationToken cancel)
    {
        _quotas.TakeRegistryOperations(deviceId: null);
        try
        {
            _metadata.Read(decide);
        }
        catch (HubException refusal)
        {
            _audit.Note(actor.Refused(act, Printed(id), refusal.Message));
            throw;
        }

        await _audit.RequireAsync(actor.Done(act, id), cancel).ConfigureAwait(false);
        try
        {
            return await _metadata.WriteAsync(tx => apply(tx, decide(tx)), _ => _rollout.NoteConfigurations(), cancel).ConfigureAwait(false);
        }
        catch (Exception e)
        {
            _audit.Note(actor.Refused(act, id, e is HubException ? e.Message : $"not stored: {e.GetType().Name}"));
            throw;
        }
    }
}
