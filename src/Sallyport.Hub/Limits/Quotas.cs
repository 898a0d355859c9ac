using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;

namespace Sallyport.Hub.Limits;

/// <summary>What is left of a limit, as <c>limits show</c> tells of it.</summary>
/// <param name="Left">Of the burst, 0 to 1.</param>
public sealed record QuotaLevel(string Limit, long PerSecond, double Left);

/// <summary>What one device, or the hub, has left, and how often it was held back.</summary>
public sealed record QuotaStanding(IReadOnlyList<QuotaLevel> Levels, long Throttled, DateTimeOffset? LastThrottled);

/// <summary>Counts what devices use against <see cref="QuotaOptions"/>: one set of buckets for the hub and one per device. Thread-safe.</summary>
public sealed class Quotas
{
    private readonly Lock _gate = new();
    private Dictionary<Identity, DeviceQuota> _young = [];
    private Dictionary<Identity, DeviceQuota> _old = [];

    public Quotas(QuotaOptions options, TimeProvider time)
    {
        (Options, Time) = (options, time);
        Hub = new Buckets(this, "hub", options.ConnectionsPerSecond, options.MessagesPerSecond, options.BytesPerSecond, options.RegistryOperationsPerSecond);
    }

    public QuotaOptions Options { get; }

    internal TimeProvider Time { get; }

    internal Buckets Hub { get; }

    /// <summary>The device's or module's buckets. Ask once per session and keep them: then a message costs no look-up.</summary>
    public DeviceQuota Of(Identity identity)
    {
        lock (_gate)
        {
            if (_young.TryGetValue(identity, out var quota))
                return quota;
            if (!_old.Remove(identity, out quota))
                quota = new DeviceQuota(this);
            if (_young.Count >= Options.MaxTracked / 2)
                (_old, _young) = (_young, []);
            _young[identity] = quota;
            return quota;
        }
    }

    /// <summary>Takes registry operations on a device, or on none in particular.</summary>
    /// <exception cref="HubException">429: there are none left; says when to come back.</exception>
    public void TakeRegistryOperations(string? deviceId, int count = 1)
    {
        var now = Time.GetTimestamp();
        var device = deviceId is not null && Identity.TryCreate(deviceId, null, out var identity) ? Of(identity).Buckets : null;
        var wait = Math.Max(Hub.Registry.WaitTicks(now), device?.Registry.WaitTicks(now) ?? 0);
        if (wait > 0)
        {
            var met = Hub.Registry.WaitTicks(now) > 0 ? Hub : device!;
            met.Note("registry operations");
            throw Refusal("registry operations", Span(wait));
        }

        Hub.Registry.Take(count, now);
        device?.Registry.Take(count, now);
    }

    /// <summary>What the hub has left.</summary>
    public QuotaStanding Describe() => Hub.Describe();

    /// <summary>What the device or module has left; everything when it has not been seen lately.</summary>
    public QuotaStanding Describe(Identity identity)
    {
        DeviceQuota? quota;
        lock (_gate)
        {
            if (!_young.TryGetValue(identity, out quota))
                _old.TryGetValue(identity, out quota);
        }

        return (quota ?? new DeviceQuota(this)).Buckets.Describe();
    }

    /// <summary>The refusal of who cannot be made to wait.</summary>
    public static HubException Refusal(string limit, TimeSpan wait) =>
        new(HubErrors.Throttled, $"more {limit} than the limit allows; retry in {Math.Max(1, Math.Ceiling(wait.TotalSeconds)):0} s") { RetryAfter = wait };

    // Whole milliseconds, rounded up: timers know nothing smaller, and nobody must come too soon.
    internal TimeSpan Span(long ticks) => TimeSpan.FromMilliseconds(Math.Ceiling(ticks * 1000.0 / Time.TimestampFrequency));

    internal sealed class Buckets
    {
        private readonly Quotas _quotas;
        private readonly string _scope;
        private readonly long[] _limits;
        private long _throttled;
        private long _lastUtcTicks;

        public Buckets(Quotas quotas, string scope, params long[] limits)
        {
            (_quotas, _scope, _limits) = (quotas, scope, limits);
            TokenBucket Bucket(int i) => new(limits[i], quotas.Options.Burst, quotas.Time.TimestampFrequency);
            (Connections, Messages, Bytes, Registry) = (Bucket(0), Bucket(1), Bucket(2), Bucket(3));
        }

        public TokenBucket Connections { get; }
        public TokenBucket Messages { get; }
        public TokenBucket Bytes { get; }
        public TokenBucket Registry { get; }

        public void Note(string limit)
        {
            Interlocked.Increment(ref _throttled);
            Volatile.Write(ref _lastUtcTicks, _quotas.Time.GetUtcNow().UtcTicks);
            LimitsMeter.Throttled($"{_scope} {limit}");
        }

        public QuotaStanding Describe()
        {
            var now = _quotas.Time.GetTimestamp();
            var last = Volatile.Read(ref _lastUtcTicks);
            QuotaLevel Level(string name, int i, TokenBucket bucket) => new(name, _limits[i], Math.Round(bucket.Level(now), 3));
            return new QuotaStanding(
                [Level("connections", 0, Connections), Level("messages", 1, Messages), Level("bytes", 2, Bytes), Level("registry operations", 3, Registry)],
                Volatile.Read(ref _throttled), last == 0 ? null : new DateTimeOffset(last, TimeSpan.Zero));
        }
    }
}

/// <summary>One device's or module's buckets, with the hub's behind them. Kept by each session of it. Thread-safe; allocates nothing while nothing is held back.</summary>
public sealed class DeviceQuota
{
    private readonly Quotas _quotas;

    internal DeviceQuota(Quotas quotas)
    {
        _quotas = quotas;
        var options = quotas.Options;
        Buckets = new Quotas.Buckets(
            quotas, "device", options.DeviceConnectionsPerSecond, options.DeviceMessagesPerSecond, options.DeviceBytesPerSecond, options.DeviceRegistryOperationsPerSecond);
    }

    internal Quotas.Buckets Buckets { get; }

    /// <summary>Takes a batch of telemetry, if neither the device nor the hub is in debt. What it takes too much, the next one waits for.</summary>
    /// <returns>Zero when it was taken; else how long to wait before asking again.</returns>
    public TimeSpan TryTakeTelemetry(int messages, long bytes)
    {
        var now = _quotas.Time.GetTimestamp();
        var hub = _quotas.Hub;
        var own = Math.Max(Buckets.Messages.WaitTicks(now), Buckets.Bytes.WaitTicks(now));
        var wait = Math.Max(own, Math.Max(hub.Messages.WaitTicks(now), hub.Bytes.WaitTicks(now)));
        if (wait > 0)
        {
            (own > 0 ? Buckets : hub).Note("telemetry");
            return _quotas.Span(wait);
        }

        Buckets.Messages.Take(messages, now);
        Buckets.Bytes.Take(bytes, now);
        hub.Messages.Take(messages, now);
        hub.Bytes.Take(bytes, now);
        return TimeSpan.Zero;
    }

    /// <summary>Takes a connection, if neither the device nor the hub has had too many.</summary>
    /// <returns>Zero when it was taken; else how long to wait before asking again.</returns>
    public TimeSpan TryTakeConnection()
    {
        var now = _quotas.Time.GetTimestamp();
        var own = Buckets.Connections.WaitTicks(now);
        var wait = Math.Max(own, _quotas.Hub.Connections.WaitTicks(now));
        if (wait > 0)
        {
            (own > 0 ? Buckets : _quotas.Hub).Note("connections");
            return _quotas.Span(wait);
        }

        Buckets.Connections.Take(1, now);
        _quotas.Hub.Connections.Take(1, now);
        return TimeSpan.Zero;
    }
}
