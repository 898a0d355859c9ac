using System.Globalization;
using Sallyport.Client.Service;
using Sallyport.Protocol.ConnectionStrings;
using Sallyport.Protocol.Sas;
using Sallyport.Tests.Heads.Amqp;
using Sallyport.Tests.Protocol.Amqp;
using Sallyport.Up;

namespace Sallyport.Tests.Executable.Bounds;

/// <summary>
/// What hostile AMQP clients cost the process: a hub of its own, whose memory at its highest the kernel tells. While each goes on, a device sends.
/// </summary>
public sealed class HostileAmqpMemoryTests(HostileAmqpMemoryTests.Hub hub) : IClassFixture<HostileAmqpMemoryTests.Hub>, IAsyncDisposable
{
    // What a garbage collector may put off is most of it.
    private const long MostKiB = 128 * 1024;

    private readonly List<WireAmqp> _open = [];

    public async ValueTask DisposeAsync() => await LetGoAsync();

    [Fact]
    public async Task Memory_WhileStrangersSayWhatIsHostile_IsBounded() => await MeasureAsync(async () =>
    {
        for (var i = 0; i < 3; i++)
            await StrangersAsync();
    });

    [Fact]
    public async Task Memory_WhileStrangersHoldConnectionsOpen_IsBounded() => await MeasureAsync(async () =>
    {
        for (var i = 0; i < 200; i++)
        {
            var stranger = await ConnectAsync();
            await stranger.SendAsync(Frames.AmqpHeader, Frames.Open(), Frames.Begin());
        }
    });

    [Fact]
    public async Task Memory_WhileMessagesNeverEnd_IsBounded() => await MeasureAsync(async () =>
    {
        for (var i = 0; i < 20; i++)
        {
            var device = await DeviceAsync($"d{i}");
            for (var frame = 0; frame < 8; frame++)
                await device.SendAsync(Frames.Transfer(2, 1, new byte[30_000], more: true));
        }
    });

    [Fact]
    public async Task Memory_WhileReadersWithAMillionCreditsReadNothing_IsBounded()
    {
        var sender = await DeviceAsync("d0");
        var text = new string('x', 40_000);
        for (var round = 0; round < 20; round++)
        {
            await sender.SendAsync([.. Enumerable.Range(0, 50).Select(_ => sender.Transfer(2, AmqpMessages.Text(text)))]);
            for (uint settled = 0; settled < (round + 1) * 50;)
            {
                if (await sender.HearAsync() is { Name: "disposition" } disposition)
                    settled = (uint)disposition.Fields[2]!;
            }
        }

        await MeasureAsync(async () =>
        {
            for (var i = 0; i < 8; i++)
            {
                for (var partition = 0; partition < 4; partition++)
                    await ReaderAsync(partition);
            }
        });
    }

    [Fact]
    public async Task Memory_WhileAnswersAreNotRead_IsBounded() => await MeasureAsync(async () =>
    {
        var flood = Frames.Concat([.. Enumerable.Range(0, 1000).Select(_ => Frames.Window(0, 1000, echo: true))]);
        for (var i = 0; i < 20; i++)
        {
            var device = await DeviceAsync($"d{i}");
            _ = FloodAsync(device, flood, times: 500);
        }
    });

    [Fact]
    public async Task Memory_WhileTransfersArePresettledWithoutEnd_IsBounded() => await MeasureAsync(async () =>
    {
        var flood = Frames.Concat([.. Enumerable.Range(0, 1000).Select(i => Frames.Transfer(2, (uint)i, AmqpMessages.Text("x"), settled: true))]);
        for (var i = 0; i < 20; i++)
        {
            var device = await DeviceAsync($"d{i}");
            _ = FloodAsync(device, flood, times: 200);
        }
    });

    // Everything is held until it was measured.
    private async Task MeasureAsync(Func<Task> hostile)
    {
        var before = KiB("VmRSS");
        File.WriteAllText($"/proc/{hub.Process.Id}/clear_refs", "5"); // The peak begins anew.

        await hostile();
        for (var i = 0; i < 100; i++)
            await hub.Bystander.PublishAsync("still here");

        Assert.InRange(KiB("VmHWM") - before, long.MinValue, MostKiB);
        await LetGoAsync();
        await hub.Bystander.PublishAsync("still here");
    }

    private async Task StrangersAsync()
    {
        foreach (var hostile in HostileFrames.OfStrangers)
        {
            var stranger = await ConnectAsync();
            await stranger.SendAsync(hostile.Bytes);
            await stranger.HearAsync();
        }
    }

    private static async Task FloodAsync(WireAmqp device, byte[] flood, int times)
    {
        try
        {
            for (var i = 0; i < times; i++)
                await device.SendAsync(flood);
        }
        catch (Exception cut) when (cut is IOException or ObjectDisposedException or InvalidOperationException)
        {
            return; // Let go, or closed by the hub.
        }
    }

    private async Task<WireAmqp> ConnectAsync()
    {
        var client = await WireAmqp.OpenAsync(hub.Endpoints);
        _open.Add(client);
        return client;
    }

    private async Task<WireAmqp> DeviceAsync(string id)
    {
        var device = await hub.DeviceAsync(id);
        _open.Add(device);
        return device;
    }

    private async Task ReaderAsync(int partition)
    {
        var reader = await ConnectAsync();
        await reader.OpenAsync("localhost");
        await reader.AttachCbsAsync();
        var policy = ConnectionString.Parse(hub.Endpoints.ServiceConnectionString!);
        Assert.Equal(200, await reader.PutAsync("localhost", SharedAccessSignature.Create("localhost", policy.SharedAccessKey!, DateTimeOffset.UtcNow.AddHours(1), policy.SharedAccessKeyName)));
        await reader.SendAsync(AmqpMessages.Reader(2, partition), Frames.Credit(2, 0, 1_000_000));
        await reader.ExpectAsync("attach");
    }

    private async Task LetGoAsync()
    {
        foreach (var client in _open)
        {
            client.Reset();
            await client.DisposeAsync();
        }

        _open.Clear();
    }

    private long KiB(string what)
    {
        var line = File.ReadLines($"/proc/{hub.Process.Id}/status").Single(line => line.StartsWith(what + ":", StringComparison.Ordinal));
        return long.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture);
    }

    /// <summary>The process, with devices d0 to d19, and one that goes on sending.</summary>
    public sealed class Hub : IAsyncLifetime
    {
        private readonly TemporaryDirectory _home = new();
        private readonly Dictionary<string, string> _keys = [];

        internal SallyportProcess Process { get; private set; } = null!;

        internal EndpointsFile Endpoints { get; private set; } = null!;

        internal WireAmqp Bystander { get; private set; } = null!;

        public async ValueTask InitializeAsync()
        {
            Process = await SallyportProcess.UpAsync(_home);
            Endpoints = EndpointsFile.TryRead(EndpointsFile.PathIn(Path.Combine(_home.Path, "sallyport", "data")))!;
            using var owner = new ServiceClient(Endpoints.OwnerConnectionString!, new ServiceClientOptions { Port = Endpoints.HttpsPort, CaFile = Endpoints.CaFile });
            foreach (var id in (string[])["bystander", .. Enumerable.Range(0, 20).Select(i => $"d{i}")])
                _keys[id] = (string)(await owner.PutDeviceAsync(id))["authentication"]!["symmetricKey"]!["primaryKey"]!;
            Bystander = await DeviceAsync("bystander");

            // What is loaded, compiled and pooled once is there.
            for (var i = 0; i < 20; i++)
            {
                await using var device = await DeviceAsync($"d{i}");
                await device.PublishAsync(new string('x', 20_000));
            }
        }

        public async ValueTask DisposeAsync()
        {
            await Bystander.DisposeAsync();
            await Process.DisposeAsync();
            _home.Dispose();
        }

        internal Task<WireAmqp> DeviceAsync(string id) =>
            WireAmqp.DeviceAsync(Endpoints, id, SharedAccessSignature.Create($"localhost/devices/{id}", _keys[id], DateTimeOffset.UtcNow.AddHours(1)));
    }
}
