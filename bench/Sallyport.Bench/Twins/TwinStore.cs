using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using Sallyport.Protocol.Twins;
using Sallyport.Storage;
using Sallyport.Storage.Metadata;
using Sallyport.Storage.Secrets;

namespace Sallyport.Bench.Twins;

/// <summary>Twins of 1 KB with 30 paths, put into a store in another order than that of their ids: as in a hub that has lived.</summary>
internal static class TwinStore
{
    /// <summary>One of so many has a given value: 1 % selectivity.</summary>
    public const int Values = 100;

    /// <summary>Fills the data directory of a hub that is not running; a directory that has a store already stays as it is.</summary>
    /// <returns>The size of the store in bytes.</returns>
    public static async Task<long> FillDirectoryAsync(string path, int devices)
    {
        using var data = DataDirectory.Open(path, TimeProvider.System);
        if (!File.Exists(data.MetadataPath))
        {
            using var secrets = new SecretBox(HeldKeys.Open(data, keyFile: null, Environment.GetEnvironmentVariable).Ring);
            await using var metadata = await SqliteMetadata.OpenAsync(data.MetadataPath, secrets, TimeProvider.System, NullLogger.Instance);
            await FillAsync(metadata, devices, Generator.DeviceId);
        }

        return new FileInfo(data.MetadataPath).Length;
    }

    public static async Task FillAsync(SqliteMetadata metadata, int devices, Func<int, string> idOf)
    {
        const int perAct = 1000;
        for (var from = 0; from < devices; from += perAct)
        {
            var start = from;
            await metadata.WriteAsync(tx =>
            {
                for (var i = start; i < Math.Min(start + perAct, devices); i++)
                {
                    var place = (int)(i * 7919L % devices);
                    var id = idOf(place);
                    metadata.Identities.Put(tx, new IdentityRecord
                    {
                        DeviceId = id, GenerationId = "1", ETag = 1, Enabled = place % Values != 7,
                        PrimaryKey = Convert.ToBase64String(Server.Key(id)), SecondaryKey = Convert.ToBase64String(Server.Key(id + "'")),
                    });
                    var (tags, desired, reported) = Json(place);
                    metadata.Twins.Put(tx, new TwinRecord
                    {
                        DeviceId = id, GenerationId = "1", ETag = 1, Version = 2,
                        Tags = Encoding.UTF8.GetBytes(tags), Desired = Part(desired, TwinLimits.Desired), Reported = Part(reported, TwinLimits.Reported),
                    });
                }

                return 0;
            });
        }
    }

    // 3 tags, 5 desired and 22 reported values.
    public static (string Tags, string Desired, string Reported) Json(int place)
    {
        var value = place % Values;
        var tags = $$"""{"site":"site-{{value}}","floor":{{value % 10}},"kind":"pump of the old series"}""";
        var desired = $$"""{"interval":{{value}},"firmware":{"version":"1.{{value}}.0","url":"https://firmware.example.org/pump/1.{{value}}.0.bin"},"enabled":true,"threshold":{{value}}.5}""";
        var reported = "{" + string.Join(',', Enumerable.Range(0, 21).Select(i => i % 3 == 0 ? $"\"r{i:00}\":\"a text of some length {value}\"" : $"\"r{i:00}\":{value}")) + ",\"network\":{\"kind\":\"cellular\"}}";
        return (tags, desired, reported);
    }

    private static TwinPart Part(string json, TwinLimits limits)
    {
        var section = TwinSection.New(DateTime.UnixEpoch).Patched(TwinReader.Read(Encoding.UTF8.GetBytes(json), limits), limits, DateTime.UnixEpoch);
        return new TwinPart(section.EncodeJson(), section.EncodeStamps(), section.Version);
    }
}
