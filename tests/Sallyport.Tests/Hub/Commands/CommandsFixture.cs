using System.Text;
using Sallyport.Hub.Access;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Commands;
using Sallyport.Hub.Devices;
using Sallyport.Hub.Diagnosis;
using Sallyport.Hub.Physical;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Messages;
using Sallyport.Storage.Metadata;
using Sallyport.Tests.Hub.Access;
using Sallyport.Tests.Hub.Audit;
using Sallyport.Tests.Storage.Metadata;

namespace Sallyport.Tests.Hub.Commands;

/// <summary>Queues over a real store, with a clock of their own. The device d1 and its module m1 are registered.</summary>
internal sealed class CommandsFixture : IAsyncDisposable
{
    public static readonly Identity D1 = Identity.Of("d1");
    public static readonly Identity Module = Identity.Of("d1", "m1");
    public static readonly Actor Owner = new("policy:iothubowner", "0123456789abcdef", AzureRights.All, "c0ffee", "127.0.0.1:1");

    private readonly SqliteFixture _files = new();
    private readonly string _path;
    private int _crashes;

    private CommandsFixture(CommandOptions options, string? path = null)
    {
        Options = options;
        _path = path ?? _files.Path;
    }

    public CommandOptions Options { get; }
    public StepTime Time { get; private init; } = new(new DateTimeOffset(2026, 1, 2, 12, 0, 0, TimeSpan.Zero));
    public AuditList Audit { get; } = new();
    public QuarantineLine Line { get; } = new();
    public SqliteMetadata Metadata { get; private set; } = null!;
    public ConnectedDevices Connected { get; private set; } = null!;
    public Feedback Feedback { get; private set; } = null!;
    public CommandQueues Queues { get; private set; } = null!;

    public static async Task<CommandsFixture> OpenAsync(CommandOptions? options = null)
    {
        var fixture = new CommandsFixture(options ?? new CommandOptions());
        await fixture.StartAsync();
        foreach (var identity in new[] { D1, Module })
            await fixture.PutAsync(identity, "g1");
        return fixture;
    }

    /// <summary>As after a crash: what was in memory is gone.</summary>
    public async Task RestartAsync()
    {
        await Metadata.DisposeAsync();
        await StartAsync();
    }

    /// <summary>Another hub over what a crash leaves now: the files as they are, in the middle of a write or not.</summary>
    public async Task<CommandsFixture> AfterCrashAsync()
    {
        var copy = $"{_path}.crash-{_crashes++}";
        File.Copy(_path, copy);
        File.Copy(_path + "-wal", copy + "-wal");
        var after = new CommandsFixture(Options, copy) { Time = Time };
        await after.StartAsync();
        return after;
    }

    public async Task PutAsync(Identity identity, string generation) => await Metadata.WriteAsync(tx =>
    {
        Metadata.Identities.Put(tx, AccessFixture.Record(identity) with { GenerationId = generation });
        return true;
    });

    public async Task<long> SendAsync(string body, string ack = "none", string? messageId = null, DateTimeOffset? expiry = null, Identity? to = null) =>
        await Queues.EnqueueAsync(Draft(body, ack, messageId, expiry, to), CancellationToken.None);

    public static CommandDraft Draft(string body, string ack = "none", string? messageId = null, DateTimeOffset? expiry = null, Identity? to = null)
    {
        var properties = new MessageProperties();
        properties.TrySet(SystemProperty.Ack, Encoding.UTF8.GetBytes(ack));
        properties.TrySet(SystemProperty.MessageId, Encoding.UTF8.GetBytes(messageId ?? body));
        if (expiry is { } time)
            properties.TrySet(SystemProperty.AbsoluteExpiryTime, Encoding.UTF8.GetBytes(time.UtcDateTime.ToString("O")));
        return CommandDraft.Create(to ?? D1, properties, Encoding.UTF8.GetBytes(body));
    }

    public LockedCommand? Receive(object? holder = null, Identity? identity = null) => Queues.Receive(identity ?? D1, "g1", holder, 1) is [var one] ? one : null;

    public string? ReceiveId(object? holder = null) => Receive(holder)?.Command.MessageId;

    public string[] Dead() => [.. Queues.ListDead(null, 0, 100).Select(dead => $"{dead.Command.MessageId} {dead.Reason}")];

    public string[] Told() => [.. Metadata.Read(tx => Metadata.Feedback.ListBatches(tx, 0, 100).SelectMany(batch => Metadata.Feedback.ListRecords(tx, batch.Batch)).ToList())
        .Select(record => $"{record.MessageId} {record.Status}")];

    public async Task LookAfterAsync(TimeSpan later)
    {
        Time.Advance(later);
        await Queues.LookAfterAsync();
    }

    public static async Task RefusedAsync(HubError error, Func<Task> act) => Assert.Same(error, (await Assert.ThrowsAsync<HubException>(act)).Error);

    public async ValueTask DisposeAsync()
    {
        await Metadata.DisposeAsync();
        _files.Dispose();
    }

    private async Task StartAsync()
    {
        Metadata = await _files.OpenAsync(_path);
        Connected = new ConnectedDevices(new Attempts(_ => true, Time), Time);
        Feedback = new Feedback(Metadata, Options, Time);
        Queues = new CommandQueues(Metadata, Connected, Line, Feedback, Options, Time);
    }
}
