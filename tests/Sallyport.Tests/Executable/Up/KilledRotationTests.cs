using System.Text.Json.Nodes;
using Sallyport.Client.Service;
using Sallyport.Up;

namespace Sallyport.Tests.Executable.Up;

/// <summary>The process is killed by the kernel while it gives itself a new key, wherever it happens to be.</summary>
public sealed class KilledRotationTests : IDisposable
{
    private const int Batches = 30;

    private readonly TemporaryDirectory _home = new();

    private string Data => Path.Combine(_home.Path, "sallyport", "data");

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public void Dispose() => _home.Dispose();

    [Fact]
    public async Task Rotate_KilledAgainAndAgain_EndsWithOneKeyAndEverySecret()
    {
        string before;
        await using (var hub = await SallyportProcess.UpAsync(_home))
        {
            using var owner = Owner();
            for (var batch = 0; batch < Batches; batch++)
            {
                await owner.SendAsync(HttpMethod.Post, "devices", new JsonArray([.. Enumerable.Range(0, 100).Select(i =>
                    (JsonNode)new JsonObject { ["id"] = $"d{batch:00}{i:00}", ["importMode"] = "create" })]), cancel: Cancel);
            }

            before = await KeysAsync(owner);
        }

        // Each time a little further: from the moment it was asked to the end of the last page.
        for (var resealed = 0; resealed <= 2 * 100 * Batches; resealed += 1200)
        {
            await using var hub = await SallyportProcess.UpAsync(_home);
            using var owner = Owner();
            Assert.Equal(before, await KeysAsync(owner));
            var progress = (await owner.SendAsync(HttpMethod.Post, "manage/v1/secrets/rotate", cancel: Cancel))!;
            while ((string)progress["state"]! == "running" && (long)progress["resealed"]! < resealed)
                progress = (await owner.SendAsync(HttpMethod.Get, "manage/v1/secrets/rotation", cancel: Cancel))!;
            hub.Signal("KILL");
            await hub.ExitAsync();
        }

        await using (var hub = await SallyportProcess.UpAsync(_home))
        {
            var rotated = await SallyportProcess.RunAsync(_home, "secrets", "rotate");
            Assert.Equal(0, rotated.ExitCode);
            using var owner = Owner();
            var secrets = (await owner.SendAsync(HttpMethod.Get, "manage/v1/secrets", cancel: Cancel))!;
            Assert.True((bool)secrets["isFinished"]!);
            Assert.Single(secrets["keys"]!.AsArray());
            Assert.Equal(before, await KeysAsync(owner));
            hub.Signal("TERM");
            await hub.ExitAsync();
        }

        var verified = await SallyportProcess.RunAsync(_home, "data", "verify");
        Assert.StartsWith("sound", verified.Out.Split('\n')[^2], StringComparison.Ordinal);
        Assert.Equal(0, verified.ExitCode);
    }

    private ServiceClient Owner()
    {
        var endpoints = EndpointsFile.TryRead(EndpointsFile.PathIn(Data))!;
        return new ServiceClient(endpoints.OwnerConnectionString!, new ServiceClientOptions { Port = endpoints.HttpsPort, CaFile = endpoints.CaFile });
    }

    private static async Task<string> KeysAsync(ServiceClient owner)
    {
        var keys = new List<string>();
        foreach (var id in new[] { "d0000", "d1450", "d2999" })
            keys.Add((await owner.SendAsync(HttpMethod.Get, $"devices/{id}", cancel: Cancel))!["authentication"]!.ToJsonString());
        return string.Join('\n', keys);
    }
}
