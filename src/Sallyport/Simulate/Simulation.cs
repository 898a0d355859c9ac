using System.Net;
using System.Text.Json.Nodes;
using Sallyport.Client.Amqp;
using Sallyport.Client.Device;
using Sallyport.Client.Service;

namespace Sallyport.Simulate;

/// <summary>What a simulation does.</summary>
internal sealed record SimulationOptions
{
    /// <summary><c>host</c>, or the path of a <c>.csv</c> or <c>.jsonl</c> file.</summary>
    public string Source { get; init; } = "host";

    /// <summary>Which column of the file says when a row was measured; null spaces rows by <see cref="Interval"/>.</summary>
    public string? TimeColumn { get; init; }

    /// <summary>How many times faster than measured; 0 sends as fast as the hub acknowledges.</summary>
    public double Speed { get; init; } = 1;

    /// <summary>Between two readings of this machine, and between rows without a time (divided by <see cref="Speed"/>).</summary>
    public TimeSpan Interval { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>How many devices; each sends all readings.</summary>
    public int Devices { get; init; } = 1;

    /// <summary>Devices are named this and a number from 1.</summary>
    public string DevicePrefix { get; init; } = "sim";

    /// <summary>How many messages each device sends; null for all readings, which of this machine never end.</summary>
    public long? MessageCount { get; init; }

    /// <summary>Everything that is wrong, one sentence each.</summary>
    public IReadOnlyList<string> Validate()
    {
        var errors = new List<string>();
        if (Devices is < 1 or > 10_000)
            errors.Add("the number of devices must be 1 to 10,000");
        if (MessageCount < 1)
            errors.Add("the number of messages must be 1 or more");
        if (!double.IsFinite(Speed) || Speed < 0)
            errors.Add("the speed must be 0 (as fast as acknowledged) or more");
        if (Interval <= TimeSpan.Zero)
            errors.Add("the interval must be longer than nothing");
        if (Source != "host" && !File.Exists(Source))
            errors.Add($"there is no file '{Source}'; the source is 'host' or a .csv or .jsonl file");
        if (TimeColumn is not null && Source == "host")
            errors.Add("a time column goes with a file, not with host");
        return errors;
    }
}

/// <summary>
/// Devices that send real readings through <see cref="DeviceClient"/>: this machine's, or measured ones out of a file. Used once.
/// Counters may be read at any time.
/// </summary>
internal sealed class Simulation(SimulationOptions options, DeviceClientOptions clientOptions, TimeProvider time)
{
    // Before a message is sent again that a busy hub did not take. Over MQTT such a hub just does not acknowledge.
    private static readonly TimeSpan WhileBusy = TimeSpan.FromSeconds(1);

    private long _sent;
    private long _badRows;

    /// <summary>Messages that the hub has acknowledged.</summary>
    public long Sent => Interlocked.Read(ref _sent);

    /// <summary>Rows of the file that are no readings.</summary>
    public long BadRows => Interlocked.Read(ref _badRows);

    /// <summary>Told of each such row, once however many devices replay the file.</summary>
    public Action<BadRow> OnBadRow { get; init; } = _ => { };

    /// <summary>Registers the devices that do not exist yet.</summary>
    /// <param name="service">With a policy that may write the registry and see its keys.</param>
    /// <returns>Their connection strings.</returns>
    /// <exception cref="ServiceException">The hub refused.</exception>
    public async Task<IReadOnlyList<string>> RegisterAsync(ServiceClient service, CancellationToken cancel)
    {
        var connectionStrings = new List<string>();
        for (var i = 1; i <= options.Devices; i++)
        {
            var id = $"{options.DevicePrefix}{i}";
            var device = await FindAsync(service, id, cancel) ?? await service.PutDeviceAsync(id, cancel: cancel);
            var key = (string?)device["authentication"]?["symmetricKey"]?["primaryKey"]
                ?? throw new InvalidDataException($"the hub does not give the key of device '{id}': it has none, or the policy may not see it");
            connectionStrings.Add($"HostName={service.HostName};DeviceId={id};SharedAccessKey={key}");
        }

        return connectionStrings;
    }

    /// <summary>Sends until the data ends, or <paramref name="cancel"/>.</summary>
    /// <param name="connectionStrings">One per device.</param>
    /// <exception cref="FormatException">The file is not one of readings, or a connection string is not of a device.</exception>
    /// <exception cref="DeviceRefusedException">The hub does not let a device in.</exception>
    /// <exception cref="AmqpRefusedException">The hub refused a message over AMQP.</exception>
    public async Task RunAsync(IReadOnlyList<string> connectionStrings, CancellationToken cancel)
    {
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        var devices = connectionStrings.Select((one, i) => RunDeviceAsync(one, isFirst: i == 0, ended.Token)).ToList();
        while (devices.Count > 0)
        {
            var done = await Task.WhenAny(devices);
            devices.Remove(done);
            if (done.IsCompletedSuccessfully)
                continue;

            // One that fails ends them all.
            await ended.CancelAsync();
            await Task.WhenAll(devices).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            await done;
        }
    }

    private static async Task<JsonObject?> FindAsync(ServiceClient service, string id, CancellationToken cancel)
    {
        try
        {
            return await service.GetDeviceAsync(id, cancel);
        }
        catch (ServiceException e) when (e.Status == HttpStatusCode.NotFound)
        {
            return null;
        }
    }

    private async Task RunDeviceAsync(string connectionString, bool isFirst, CancellationToken cancel)
    {
        var readings = Readings(isFirst);
        await using var client = new DeviceClient(connectionString, clientOptions);
        var pace = new Pace(options, time);
        var unacknowledged = new Queue<Task>();
        var left = options.MessageCount ?? long.MaxValue;
        await foreach (var reading in readings.AllAsync(cancel))
        {
            await pace.WaitAsync(reading.Time, cancel);
            unacknowledged.Enqueue(SendAsync(client, reading, cancel));
            while (unacknowledged.Count >= clientOptions.MaxInFlight || unacknowledged.TryPeek(out var oldest) && oldest.IsCompleted)
                await unacknowledged.Dequeue();
            if (--left == 0)
                break;
        }

        await Task.WhenAll(unacknowledged);
    }

    private async Task SendAsync(DeviceClient client, Reading reading, CancellationToken cancel)
    {
        var message = new TelemetryMessage(reading.Json) { ContentType = "application/json", ContentEncoding = "utf-8", CreationTime = reading.Time };
        while (true)
        {
            try
            {
                await client.SendAsync(message, cancel);
                Interlocked.Increment(ref _sent);
                return;
            }
            catch (AmqpRefusedException busy) when (busy.IsRetryable)
            {
                // The hub says that it is busy, and not when it will not be: only time can be waited for.
                await Task.Delay(WhileBusy, time, cancel);
            }
        }
    }

    private IReadings Readings(bool isFirst)
    {
        if (options.Source == "host")
            return new HostReadings("/", options.Interval, time);

        return FileReadings.Open(options.Source, options.TimeColumn, row =>
        {
            if (!isFirst)
                return;
            Interlocked.Increment(ref _badRows);
            OnBadRow(row);
        });
    }
}
