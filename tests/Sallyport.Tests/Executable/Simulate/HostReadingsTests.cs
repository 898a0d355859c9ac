using System.Text.Json;
using Sallyport.Simulate;

namespace Sallyport.Tests.Executable.Simulate;

public sealed class HostReadingsTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();
    private readonly StepTime _time = new();

    [Fact]
    public async Task Machine_WithEverything_IsReadFromItsFiles()
    {
        Write("proc/stat", "cpu  100 0 100 700 100 0 0 0 0 0\ncpu0 1 2 3\n");
        Write("proc/loadavg", "0.50 1.25 2.00 1/200 4242\n");
        Write("proc/meminfo", "MemTotal:       1000 kB\nMemFree: 1 kB\nMemAvailable:    600 kB\n");
        Write("sys/class/thermal/thermal_zone0/temp", "41500\n");
        Write("proc/net/dev", "Inter-|\n face |\n    lo: 9 9 9 9 9 9 9 9 9 9\n  eth0: 100 1 0 0 0 0 0 0 200 1 0\n  wlan0:10 1 0 0 0 0 0 0 20 1 0\n");
        await using var readings = new HostReadings(_directory.Path, TimeSpan.FromSeconds(5), _time).AllAsync(default).GetAsyncEnumerator();

        Assert.True(await readings.MoveNextAsync());
        var first = Json(readings.Current);
        Assert.Equal(0.5, first.GetProperty("load1").GetDouble());
        Assert.Equal(2.0, first.GetProperty("load15").GetDouble());
        Assert.Equal(1_024_000, first.GetProperty("memoryTotalBytes").GetInt64());
        Assert.Equal(614_400, first.GetProperty("memoryAvailableBytes").GetInt64());
        Assert.Equal(41.5, first.GetProperty("temperatureCelsius").GetProperty("thermal_zone0").GetDouble());
        Assert.Equal(110, first.GetProperty("networkReceivedBytes").GetInt64());
        Assert.Equal(220, first.GetProperty("networkSentBytes").GetInt64());
        Assert.True(first.GetProperty("diskTotalBytes").GetInt64() > 0);
        Assert.False(first.TryGetProperty("cpuPercent", out _));

        // Of 100 jiffies since, 25 were busy.
        Write("proc/stat", "cpu  120 0 105 770 105 0 0 0 0 0\n");
        var next = readings.MoveNextAsync();
        Assert.False(next.IsCompleted);
        _time.Advance(TimeSpan.FromSeconds(5));
        Assert.True(await next);
        Assert.Equal(25, Json(readings.Current).GetProperty("cpuPercent").GetDouble());
    }

    [Fact]
    public async Task Machine_WithoutSensors_LeavesThemOut()
    {
        await using var readings = new HostReadings(_directory.Path, TimeSpan.FromSeconds(5), _time).AllAsync(default).GetAsyncEnumerator();

        Assert.True(await readings.MoveNextAsync());

        var reading = Json(readings.Current);
        Assert.False(reading.TryGetProperty("temperatureCelsius", out _));
        Assert.False(reading.TryGetProperty("load1", out _));
    }

    public void Dispose() => _directory.Dispose();

    private void Write(string path, string content)
    {
        var full = Path.Combine(_directory.Path, path);
        Directory.CreateDirectory(Path.GetDirectoryName(full)!);
        File.WriteAllText(full, content);
    }

    private static JsonElement Json(Reading reading) => JsonDocument.Parse(reading.Json).RootElement;
}
