using System.Buffers.Binary;
using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text;
using System.Text.Json.Nodes;
using Sallyport.Protocol.Amqp;
using Sallyport.Protocol.ConnectionStrings;
using Sallyport.Protocol.Sas;
using Sallyport.Settings;
using Sallyport.Tests.Executable.Bounds;
using Sallyport.Tests.Protocol.Amqp;

namespace Sallyport.Tests.Executable.Clients;

/// <summary>
/// What clients of other languages say, byte by byte: recorded from uAMQP (in C; what the C device SDK, the Python service SDK and the az CLI
/// speak) and from azure-eventhub for Python, or built by hand from what is known of C#, Java and Go. Each file says which.
/// </summary>
public sealed class AmqpTranscriptTests : IAsyncDisposable
{
    private static readonly InsecureSwitch Allowed = new("alice", "a reader that cannot sign", new DateOnly(9999, 1, 1));
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);
    private readonly Dictionary<string, string> _keys = [];
    private TestHub _hub = null!;
    private TestDevices _devices = null!;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    /// <param name="sent">Messages that d1 has sent before, with bodies <c>{"n":0}</c>, <c>{"n":1}</c> …</param>
    /// <param name="stored">Messages of d1 that are stored at the end.</param>
    [Theory]
    [InlineData("c-device", 0, 4)]
    [InlineData("python-service", 0, 0)]
    [InlineData("python-eventhub-properties", 3, 3)]
    [InlineData("python-eventhub-reader", 3, 3)]
    [InlineData("az-redirect", 0, 0)]
    [InlineData("az-partitions", 0, 0)]
    [InlineData("az-monitor", 3, 3)]
    [InlineData("csharp-device", 0, 3)]
    [InlineData("csharp-service", 0, 0)]
    [InlineData("java-devices", 0, 3)]
    [InlineData("java-module", 0, 1)]
    [InlineData("go-service", 0, 0)]
    [InlineData("plain-key-reader", 3, 3)]
    public async Task Hub_HearingWhatAClientSays_AnswersAsItExpects(string transcript, int sent, int stored)
    {
        _hub = await TestHub.StartAsync(settings => settings with
        {
            Hub = settings.Hub with { Hosts = ["localhost", "hub.test"] },
            Access = settings.Access with { InsecureSharedKeyOverPlain = transcript == "plain-key-reader" ? Allowed : null },
        });
        await RegisterAsync();
        for (var n = 0; n < sent; n++)
            await _devices.PostAsync("d1", $"{{\"n\":{n}}}");
        await using var hub = await WireDevice.TlsAsync(_hub.Endpoints, _hub.Endpoints.AmqpsPort!.Value);

        foreach (var turn in AmqpTranscript.Read(await ReadAsync(transcript), Fill))
        {
            await hub.WriteAsync(turn.Said, Cancel);
            foreach (var told in turn.Heard)
            {
                var frame = await HearAsync(hub);
                var facts = Facts(frame);
                Assert.True(Agree(told, facts), $"heard {string.Join(' ', facts)} {frame.Error?.Fields[1]} instead of {told}");
                CheckForm(frame);
            }
        }

        Assert.Equal(0, await hub.ReadAsync(new byte[1], Cancel).AsTask().WaitAsync(Patience, Cancel));
        Assert.Equal(stored, (await _devices.EventsAsync()).Count(one => (string?)one["deviceId"] == "d1"));
        Assert.DoesNotContain(await _devices.RefusalsAsync(), refusal => refusal.Action == "amqp connection");
    }

    public async ValueTask DisposeAsync() => await _hub.DisposeAsync();

    private async Task RegisterAsync()
    {
        _devices = new TestDevices(_hub, new StepTime(DateTimeOffset.UtcNow));
        await _devices.RegisterAsync("d1", "d2");
        using var owner = _hub.Owner();
        foreach (var id in new[] { "d1", "d2" })
            _keys[id] = KeyOf(await owner.GetDeviceAsync(id, Cancel));
        _keys["d1/m1"] = KeyOf(await owner.PutModuleAsync("d1", "m1", cancel: Cancel));
        _keys["iothubowner"] = ConnectionString.Parse(_hub.Endpoints.OwnerConnectionString!).SharedAccessKey!;
        _keys["service"] = ConnectionString.Parse(_hub.Endpoints.ServiceConnectionString!).SharedAccessKey!;
    }

    private static string KeyOf(JsonObject identity) => (string)identity["authentication"]!["symmetricKey"]!["primaryKey"]!;

    // What stands in braces.
    private string Fill(string words)
    {
        var (kind, of) = (words.Split(' ')[0], words.Split(' ')[1]);
        var key = _keys[of];
        var expires = DateTimeOffset.UtcNow.AddHours(1);
        return kind switch
        {
            "device" => SharedAccessSignature.Create($"hub.test/devices/{of}", key, expires),
            "module" => SharedAccessSignature.Create($"hub.test/devices/{of.Replace("/", "/modules/", StringComparison.Ordinal)}", key, expires),
            "policy" => SharedAccessSignature.Create("hub.test", key, expires, of),
            "eventhub" => SharedAccessSignature.Create("sb://hub.test/events", Convert.ToBase64String(Encoding.UTF8.GetBytes(key)), expires, of),
            "key" => key,
            _ => throw new FormatException(words),
        };
    }

    private static async Task<Heard> HearAsync(Stream hub)
    {
        var bytes = new byte[8];
        await hub.ReadExactlyAsync(bytes, Cancel).AsTask().WaitAsync(Patience, Cancel);
        if (!bytes.AsSpan().StartsWith("AMQP"u8))
        {
            Array.Resize(ref bytes, BinaryPrimitives.ReadInt32BigEndian(bytes));
            await hub.ReadExactlyAsync(bytes.AsMemory(8), Cancel).AsTask().WaitAsync(Patience, Cancel);
        }

        return Assert.Single(Heard.All(bytes));
    }

    // Every word that is told must be among the facts.
    private static bool Agree(string told, List<string> facts) => told.Split(' ').All(facts.Contains) && told.Split(' ')[0] == facts[0];

    private List<string> Facts(Heard frame)
    {
        List<string> facts = [frame.Name, $"channel={frame.Channel}"];
        if (frame.Condition is { } condition)
            facts.Add(condition);
        switch (frame.Name)
        {
            case "attach":
                facts.AddRange([$"name={frame.Fields[0]}", $"snd={frame.Fields[3]}", $"rcv={frame.Fields[4]}"]);
                if (frame.Fields[(bool)frame.Fields[2]! ? 6 : 5] is null)
                    facts.Add("refused");
                break;
            case "flow":
                facts.Add($"handle={frame.Fields[4]}");
                break;
            case "disposition":
                facts.AddRange([$"first={frame.Fields[1]}", $"last={frame.Fields[2]}"]);
                if (frame.Fields[4] is Described { Code: 0x24 } && frame.Fields[3] is true)
                    facts.Add("accepted");
                break;
            case "detach":
                facts.Add($"handle={frame.Fields[0]}");
                if (frame.Error?.Fields[2] is object?[] info)
                    facts.Add($"redirect={Info(info, "hostname")},{Redirected(info)}");
                break;
            case "sasl-outcome":
                facts.Add($"code={frame.Fields[0]}");
                break;
            case "transfer":
                facts.Add($"handle={frame.Fields[0]}");
                AddMessage(facts, frame.Payload);
                break;
            default:
                break;
        }

        return facts;
    }

    // The port that the redirect names is whichever was free.
    private string? Redirected(object?[] info) =>
        ((string?)Info(info, "address"))?.Replace(string.Create(CultureInfo.InvariantCulture, $":{_hub.Endpoints.AmqpsPort}/"), ":5671/", StringComparison.Ordinal);

    private static object? Info(object?[] info, string key) => info[Array.FindIndex(info, word => word is Symbol symbol && symbol.Text == key) + 1];

    private static void AddMessage(List<string> facts, byte[] payload)
    {
        Assert.True(StoredMessage.TryRead(payload, out var message));
        facts.Add(message.TryGet(AmqpProperty.CorrelationId, out var id)
            ? id.Type switch
            {
                AmqpType.ULong => $"correlation=ulong:{id.Unsigned}",
                AmqpType.Uuid => $"correlation=uuid:{Convert.ToHexStringLower(id.Content)}",
                AmqpType.String => $"correlation=string:{Encoding.UTF8.GetString(id.Content)}",
                _ => $"correlation={id.Type}",
            }
            : "correlation=none");
        if (message.ApplicationProperties.TryFind("status-code"u8, out var status))
            facts.Add(status.Type == AmqpType.Int ? $"status={status.Signed}" : $"status={status.Type}"); // C 2.2: a uint crashes the C# client.
        if (message.BodySection == AmqpSection.Data)
            facts.Add($"body={Encoding.UTF8.GetString(message.Body)}");
    }

    // Azure-eventhub for Python reads fields by their place without looking how many there are; C refuses to send without max-message-size;
    // C# takes a missing terminus for a refusal, and a missing initial-delivery-count for an error.
    private static void CheckForm(Heard frame)
    {
        var (least, exact) = frame.Name switch
        {
            "open" or "begin" or "disposition" => (5, false),
            "attach" => (14, true),
            "flow" => (7, false),
            "transfer" => (11, true),
            "detach" => (3, true),
            "end" or "close" => (1, false),
            _ => (0, false),
        };
        Assert.True(exact ? frame.Fields.Length == least : frame.Fields.Length >= least, $"{frame.Name} has {frame.Fields.Length} fields");
        if (frame.Name == "open")
            Assert.IsType<uint>(frame.Fields[2]);
        if (frame.Name != "attach")
            return;

        var hubReceives = (bool)frame.Fields[2]!;
        var isRefused = frame.Fields[hubReceives ? 6 : 5] is null;
        if (!isRefused)
        {
            Assert.IsType<Described>(frame.Fields[5]);
            Assert.IsType<Described>(frame.Fields[6]);
        }

        Assert.IsType<object?[]>(frame.Fields[13]);
        if (!hubReceives)
            Assert.IsType<uint>(frame.Fields[9]);
        if (hubReceives && !isRefused)
            Assert.InRange(Assert.IsType<ulong>(frame.Fields[10]), 1025ul, 1024ul * 1024);
    }

    private static Task<string> ReadAsync(string transcript, [CallerFilePath] string thisFile = "") =>
        File.ReadAllTextAsync(Path.Combine(Path.GetDirectoryName(thisFile)!, "Transcripts", $"{transcript}.txt"), Cancel);
}
