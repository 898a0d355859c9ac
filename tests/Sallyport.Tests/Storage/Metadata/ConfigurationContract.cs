using System.Text;
using Sallyport.Storage.Metadata;

namespace Sallyport.Tests.Storage.Metadata;

/// <summary>Automatic configurations, and what twins hold of them.</summary>
public abstract class ConfigurationContract : MetadataContract
{
    private static readonly byte[] Shown = Encoding.UTF8.GetBytes("""{"a":{"status":"Applied"}}""");

    private static ConfigurationRecord Configuration(string id) => new()
    {
        Id = id, ETag = 1, SchemaVersion = "1.0", Labels = [1], Content = [2], TargetCondition = "*", Priority = 3, MetricQueries = [4], CreatedTime = Noon, LastUpdatedTime = Noon.AddTicks(1),
        Writer = "policy:service", WriterRights = 5,
    };

    [Fact]
    public async Task Configurations_AddUpdateDelete_RoundTripAndSurviveReopening()
    {
        var first = await Metadata.WriteAsync(tx => Metadata.Configurations.Add(tx, Configuration("b")));
        var second = await Metadata.WriteAsync(tx => Metadata.Configurations.Add(tx, Configuration("a")));
        await ReopenAsync();

        Assert.Equal(["b", "a"], Metadata.Read(Metadata.Configurations.List).Select(one => one.Id));
        await WriteAsync(tx => Metadata.Configurations.Update(tx, Configuration("b") with { ETag = 2, Labels = [9], TargetCondition = "tags.a = 1", Priority = 7, MetricQueries = [8], LastUpdatedTime = Noon.AddDays(1), Writer = "operator:o", WriterRights = 6 }));
        var read = Metadata.Read(tx => Metadata.Configurations.Find(tx, "b"))!;
        Assert.Equal((first, 2L, "1.0", "tags.a = 1", 7), (read.Number, read.ETag, read.SchemaVersion, read.TargetCondition, read.Priority));
        Assert.Equal((Noon, Noon.AddDays(1), "operator:o", 6L), (read.CreatedTime, read.LastUpdatedTime, read.Writer, read.WriterRights));
        Assert.Equal([9, 2, 8], [.. read.Labels, .. read.Content, .. read.MetricQueries]);

        Assert.True(await Metadata.WriteAsync(tx => Metadata.Configurations.Delete(tx, "a")));
        Assert.False(await Metadata.WriteAsync(tx => Metadata.Configurations.Delete(tx, "a")));
        Assert.Null(Metadata.Read(tx => Metadata.Configurations.Find(tx, "a")));
        Assert.True(await Metadata.WriteAsync(tx => Metadata.Configurations.Add(tx, Configuration("a"))) > second);
    }

    [Fact]
    public async Task Twins_ThatAreConfigured_AreCountedByWhatTheyShow_AndFound()
    {
        await WriteAsync(tx =>
        {
            foreach (var (device, module, shown) in new[] { ("d1", null, Shown), ("d2", null, Shown), ("d3", null, null), ("d1", "m1", Shown), ("d1", "$edgeAgent", Shown) })
            {
                Metadata.Identities.Put(tx, Device(device, module));
                Metadata.Twins.Put(tx, Twin(device, module) with { Configurations = shown, Configured = shown is null ? null : [1] });
            }
        });

        Assert.Equal([(false, 2L), (true, 2L)], Metadata.Read(Metadata.Configurations.CountTwins).Select(one => (one.AreModules, one.Count)).Order());
        Assert.Equal(["d1 ", "d1 $edgeAgent", "d1 m1", "d2 "], Scanned(null));
        Assert.Equal(["d1 $edgeAgent"], Scanned("$edgeAgent"));
        Assert.Equal([1], Metadata.Read(tx => Metadata.Twins.Find(tx, "d1", null))!.Configured!);
        await WriteAsync(tx => Metadata.Identities.Delete(tx, "d1", null));
        Assert.Equal(["d2 "], Scanned(null));
    }

    private List<string> Scanned(string? module)
    {
        List<string> seen = [];
        Metadata.Read(tx =>
        {
            Metadata.Configurations.ScanTwins(tx, module, (in TwinRow row) =>
            {
                seen.Add($"{row.DeviceId} {row.ModuleId}");
                Assert.True(row.Configurations.SequenceEqual(Shown));
                return true;
            });
            return 0;
        });
        return [.. seen.Order(StringComparer.Ordinal)];
    }

    private static TwinRecord Twin(string device, string? module) => new()
    {
        DeviceId = device, ModuleId = module, GenerationId = Device(device, module).GenerationId, ETag = 1, Version = 2, Tags = "{}"u8.ToArray(), Desired = new("{}"u8.ToArray(), [1], 1), Reported = new("{}"u8.ToArray(), [1], 1),
    };
}
