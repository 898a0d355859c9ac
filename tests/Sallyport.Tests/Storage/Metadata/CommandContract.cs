using Sallyport.Storage.Metadata;

namespace Sallyport.Tests.Storage.Metadata;

/// <summary>Commands, dead commands, feedback.</summary>
public abstract class CommandContract : MetadataContract
{
    private static readonly string Generation = Device("d1").GenerationId;

    private static CommandRecord Command(string id = "m", DateTimeOffset? expires = null, string device = "d1", string? module = null) => new()
    {
        DeviceId = device, ModuleId = module, MessageId = id, EnqueuedTime = Noon.AddTicks(1), Expires = expires ?? Noon.AddHours(1), Ack = CommandAck.Full, Message = [1, 2, 3],
    };

    [Fact]
    public async Task Commands_AddFindDelete_RoundTripAndSurviveReopening()
    {
        await WriteAsync(tx => Metadata.Identities.Put(tx, Device("d1")));
        var first = await Metadata.WriteAsync(tx => Metadata.Commands.Add(tx, Command("a")));
        var second = await Metadata.WriteAsync(tx => Metadata.Commands.Add(tx, Command("b")));
        Assert.Null(await Metadata.WriteAsync(tx => Metadata.Commands.Add(tx, Command(device: "nobody"))));
        await WriteAsync(tx => Metadata.Commands.SetDeliveryCount(tx, first!.Value, 3));
        await ReopenAsync();

        var read = Metadata.Read(tx => Metadata.Commands.Find(tx, first!.Value))!;
        Assert.Equal(Command("a") with { Sequence = first!.Value, GenerationId = Generation, DeliveryCount = 3, Message = read.Message }, read);
        Assert.Equal([1, 2, 3], read.Message);
        Assert.Equal([first.Value, second!.Value], Waiting(Generation));
        Assert.Empty(Waiting("another"));
        Assert.Equal((2, 2), Metadata.Read(tx => (Metadata.Commands.Count(tx, "d1", null), Metadata.Identities.Find(tx, "d1", null)!.CommandCount)));

        Assert.True(await Metadata.WriteAsync(tx => Metadata.Commands.Delete(tx, second.Value)));
        Assert.False(await Metadata.WriteAsync(tx => Metadata.Commands.Delete(tx, second.Value)));
        var third = await Metadata.WriteAsync(tx => Metadata.Commands.Add(tx, Command("c")));
        Assert.True(third > second);
    }

    [Fact]
    public async Task Commands_OfADeletedIdentity_GoWithIt()
    {
        await WriteAsync(tx =>
        {
            foreach (var module in new[] { null, "m1", "m2" })
            {
                Metadata.Identities.Put(tx, Device("d1", module));
                Metadata.Commands.Add(tx, Command(module: module));
                Metadata.Commands.AddDead(tx, new(0, Command(module: module) with { GenerationId = Generation }, DeadReason.Expired, Noon), 10, 10);
                Metadata.Feedback.Add(tx, new("d1", module, Generation, "m", Noon, FeedbackStatus.Success), 10);
            }
        });

        await WriteAsync(tx => Metadata.Identities.Delete(tx, "d1", "m1"));
        Assert.Equal((0, 1, 2, 2), Counts("m1"));
        await WriteAsync(tx => Metadata.Identities.Put(tx, Device("d1", "m2", "another")));
        Assert.Equal((0, 1, 1, 1), Counts("m2"));
        await WriteAsync(tx => Metadata.Identities.Delete(tx, "d1", null));
        Assert.Equal((0, 0, 0, 0), Counts("m2"));
    }

    [Fact]
    public async Task ListExpired_IsInTheOrderOfTheirEndsAndPaged()
    {
        await WriteAsync(tx =>
        {
            Metadata.Identities.Put(tx, Device("d1"));
            Metadata.Commands.Add(tx, Command("later", Noon.AddMinutes(2)));
            Metadata.Commands.Add(tx, Command("first", Noon));
            Metadata.Commands.Add(tx, Command("second", Noon));
        });

        var page = Metadata.Read(tx => Metadata.Commands.ListExpired(tx, Noon.AddMinutes(1), null, 1));
        var rest = Metadata.Read(tx => Metadata.Commands.ListExpired(tx, Noon.AddMinutes(1), page[0], 10));
        Assert.Equal([2L, 3L], page.Concat(rest).Select(one => one.Sequence));
    }

    [Fact]
    public async Task Dead_BeyondTheirBounds_TheOldestGo()
    {
        await WriteAsync(tx =>
        {
            foreach (var device in new[] { "d1", "d2" })
            {
                Metadata.Identities.Put(tx, Device(device));
                for (var i = 0; i < 4; i++)
                    Metadata.Commands.AddDead(tx, new(0, Command($"{device}-{i}", device: device) with { GenerationId = Generation }, DeadReason.Rejected, Noon), 3, 5);
            }
        });

        Assert.Equal(["d1-2", "d1-3", "d2-1", "d2-2", "d2-3"], Metadata.Read(tx => Metadata.Commands.ListDead(tx, null, 0, 10)).Select(dead => dead.Command.MessageId));
        var newest = Metadata.Read(tx => Metadata.Commands.ListDead(tx, "d2", 0, 10))[^1];
        Assert.Equal((DeadReason.Rejected, Noon, CommandAck.Full), (newest.Reason, newest.DeadTime, newest.Command.Ack));
        Assert.True(await Metadata.WriteAsync(tx => Metadata.Commands.DeleteDead(tx, newest.Sequence)));
        Assert.Null(Metadata.Read(tx => Metadata.Commands.FindDead(tx, newest.Sequence)));
    }

    [Fact]
    public async Task Feedback_IsPutIntoBatchesAndBounded()
    {
        await WriteAsync(tx =>
        {
            Metadata.Identities.Put(tx, Device("d1"));
            for (var i = 0; i < 5; i++)
                Metadata.Feedback.Add(tx, new("d1", null, Generation, $"{i}", Noon.AddSeconds(i), FeedbackStatus.Purged), 4);
        });
        Assert.Equal((4, Noon.AddSeconds(1)), Metadata.Read(Metadata.Feedback.Loose));

        Assert.True(await Metadata.WriteAsync(tx => Metadata.Feedback.MakeBatch(tx, Noon, Noon.AddHours(1), 3)));
        Assert.True(await Metadata.WriteAsync(tx => Metadata.Feedback.MakeBatch(tx, Noon, Noon.AddHours(1), 3)));
        Assert.False(await Metadata.WriteAsync(tx => Metadata.Feedback.MakeBatch(tx, Noon, Noon.AddHours(1), 3)));
        await WriteAsync(tx => Metadata.Feedback.SetDeliveryCount(tx, 1, 2));
        await ReopenAsync();

        Assert.Equal([new(1, Noon, Noon.AddHours(1), 2), new(2, Noon, Noon.AddHours(1), 0)], Metadata.Read(tx => Metadata.Feedback.ListBatches(tx, 0, 10)));
        Assert.Equal(["1", "2", "3"], Metadata.Read(tx => Metadata.Feedback.ListRecords(tx, 1)).Select(record => record.MessageId));
        Assert.True(await Metadata.WriteAsync(tx => Metadata.Feedback.DeleteBatch(tx, 1)));
        Assert.False(await Metadata.WriteAsync(tx => Metadata.Feedback.DeleteBatch(tx, 1)));
        Assert.Equal("4", Assert.Single(Metadata.Read(tx => Metadata.Feedback.ListRecords(tx, 2))).MessageId);
    }

    private List<long> Waiting(string generation) => [.. Metadata.Read(tx => Metadata.Commands.ListWaiting(tx, "d1", null, generation, 0, 10)).Select(one => one.Sequence)];

    private (int OfModule, int OfDevice, int Dead, int Feedback) Counts(string module) => Metadata.Read(tx => (
        Metadata.Commands.Count(tx, "d1", module), Metadata.Commands.Count(tx, "d1", null), Metadata.Commands.ListDead(tx, null, 0, 10).Count, Metadata.Feedback.Loose(tx).Count));
}
