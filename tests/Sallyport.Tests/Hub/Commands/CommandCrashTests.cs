using System.Text.Json.Nodes;
using Sallyport.Hub.Commands;

namespace Sallyport.Tests.Hub.Commands;

/// <summary>The hub dies between any two steps of accepting, delivering, settling and telling, and in the middle of their writes.</summary>
public sealed class CommandCrashTests
{
    private const int Steps = 30;

    private static readonly CommandOptions Options = new() { MaxQueueDepth = 1000, MaxDeadOfIdentity = 1000, MaxDeliveryCount = 2, LockDuration = TimeSpan.FromSeconds(300) };

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(5)]
    [InlineData(6)]
    [InlineData(7)]
    [InlineData(8)]
    public async Task Hub_ThatDies_LosesNoAcceptedCommand_AndDoublesNothingThatWasSettledOrTold(int seed)
    {
        await using var hub = await CommandsFixture.OpenAsync(Options);
        var run = new Run(hub, new Random(seed));
        for (var step = 0; step < Steps; step++)
            await run.StepAsync();
    }

    /// <summary>What has become of a command, as far as anybody was told; while it changes, before and after.</summary>
    private enum Fate
    {
        Unknown,
        Waits,
        Completed,
        Rejected,
        AbandonedTooOften,
        Purged,
    }

    private sealed class Run(CommandsFixture hub, Random random)
    {
        private readonly Dictionary<string, Fate[]> _fates = [];
        private readonly Dictionary<string, int> _abandoned = [];
        private readonly List<LockedCommand> _held = [];
        private readonly HashSet<string> _told = [];
        private readonly HashSet<string> _beingTold = [];

        public async Task StepAsync()
        {
            switch (random.Next(10))
            {
                case < 4:
                    await AcceptAsync();
                    break;
                case < 6:
                    if (hub.Receive(this) is { } locked)
                        _held.Add(locked);
                    break;
                case < 8 when _held.Count > 0:
                    await SettleAsync();
                    break;
                case 8:
                    await TellAsync();
                    break;
                default:
                    if (random.Next(4) == 0)
                        await PurgeAsync();
                    break;
            }

            await DieAsync();
        }

        private async Task AcceptAsync()
        {
            var id = $"c{_fates.Count}";
            await ChangeAsync(hub.SendAsync(id, "full"), (id, Fate.Unknown, Fate.Waits));
        }

        private async Task SettleAsync()
        {
            var at = random.Next(_held.Count);
            var locked = _held[at];
            var id = locked.Command.MessageId;
            _held.RemoveAt(at);
            var (act, fate) = random.Next(3) switch
            {
                0 => (hub.Queues.CompleteAsync(CommandsFixture.D1, locked.Token).AsTask(), Fate.Completed),
                1 => (hub.Queues.RejectAsync(CommandsFixture.D1, locked.Token).AsTask(), Fate.Rejected),
                _ => (hub.Queues.AbandonAsync(CommandsFixture.D1, locked.Token).AsTask(), (_abandoned[id] = _abandoned.GetValueOrDefault(id) + 1) == Options.MaxDeliveryCount ? Fate.AbandonedTooOften : Fate.Waits),
            };
            await ChangeAsync(act, (id, Fate.Waits, fate));
            Assert.True(await act);
        }

        private async Task PurgeAsync()
        {
            _held.Clear();
            var waiting = _fates.Where(pair => pair.Value is [Fate.Waits]).Select(pair => (pair.Key, Fate.Waits, Fate.Purged)).ToArray();
            await ChangeAsync(hub.Queues.PurgeAsync(CommandsFixture.Owner, hub.Audit, CommandsFixture.D1, CancellationToken.None).AsTask(), waiting);
        }

        private async Task TellAsync()
        {
            hub.Time.Advance(Options.FeedbackInterval);
            var making = hub.Queues.LookAfterAsync().AsTask();
            await DieAsync();
            await making;
            if (hub.Feedback.Receive(this) is not { } batch)
                return;

            await DieAsync();
            _beingTold.UnionWith(JsonNode.Parse(batch.Body)!.AsArray().Select(record => (string)record!["originalMessageId"]!));
            var done = hub.Feedback.CompleteAsync(batch.Token).AsTask();
            await DieAsync();
            Assert.True(await done);
            _told.UnionWith(_beingTold);
            _beingTold.Clear();
        }

        // While it is under way either is right, but of several commands the same for all.
        private async Task ChangeAsync(Task act, params (string Id, Fate Before, Fate After)[] commands)
        {
            foreach (var (id, before, after) in commands)
                _fates[id] = [before, after];
            await DieAsync();
            await act;
            foreach (var (id, _, after) in commands)
                _fates[id] = [after];
        }

        private async Task DieAsync()
        {
            if (random.Next(2) == 0)
                return;

            await using var after = await hub.AfterCrashAsync();
            await after.Metadata.WriteAsync(tx => after.Metadata.Feedback.MakeBatch(tx, after.Time.GetUtcNow(), after.Time.GetUtcNow().AddHours(1), 1000));
            var (waiting, dead, told) = (after.Queues.List(CommandsFixture.D1, 1000).Select(one => one.Command.MessageId).ToArray(), after.Dead(), after.Told());
            Assert.Equal(waiting.Length, after.Metadata.Read(tx => after.Metadata.Identities.Find(tx, "d1", null))!.CommandCount);
            var moved = new HashSet<bool>();
            foreach (var (id, allowed) in _fates)
            {
                var found = FateOf(id, waiting, dead, told);
                Assert.Contains(found, allowed);
                if (allowed is [var before, var next] && before != next)
                    moved.Add(found == next);
            }

            Assert.True(moved.Count <= 1, "of what one act changes, some was changed and some was not");

            // What waits is given in its order, once each, as nobody has it any more.
            Assert.Equal(waiting, after.Queues.Receive(CommandsFixture.D1, "g1", null, 1000).Select(one => one.Command.MessageId));
            Assert.Equal(waiting, waiting.Distinct().OrderBy(id => int.Parse(id[1..], System.Globalization.CultureInfo.InvariantCulture)));
        }

        private Fate FateOf(string id, string[] waiting, string[] dead, string[] told)
        {
            var isThere = waiting.Count(one => one == id);
            var reasons = dead.Where(one => one.StartsWith(id + " ", StringComparison.Ordinal)).Select(one => one[(id.Length + 1)..]).ToArray();
            var words = told.Where(one => one.StartsWith(id + " ", StringComparison.Ordinal)).Select(one => one[(id.Length + 1)..]).ToArray();
            if (isThere > 0)
                return (isThere, reasons.Length, words.Length) == (1, 0, 0) ? Fate.Waits : throw new InvalidOperationException($"{id} waits {isThere} times, is dead {reasons.Length} times, was told of {words.Length} times");
            if (_told.Contains(id))
                Assert.Empty(words);
            else if (words.Length != 1 && !_beingTold.Contains(id))
                return words.Length == 0 && reasons.Length == 0 ? Fate.Unknown : throw new InvalidOperationException($"of {id} there is told {words.Length} times: {string.Join(' ', reasons)}");

            var word = words is [var one] ? one : _fates[id][^1] switch { Fate.Completed => "Success", Fate.Rejected => "Rejected", Fate.Purged => "Purged", _ => "DeliveryCountExceeded" };
            Assert.Equal(word is "Success" or "Purged" ? [] : [word], reasons);
            return word switch
            {
                "Success" => Fate.Completed,
                "Rejected" => Fate.Rejected,
                "Purged" => Fate.Purged,
                _ => Fate.AbandonedTooOften,
            };
        }
    }
}
