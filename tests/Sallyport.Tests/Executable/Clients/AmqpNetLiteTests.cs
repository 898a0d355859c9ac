using System.Globalization;
using System.Net.Security;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using Amqp;
using Amqp.Framing;
using Amqp.Sasl;
using Amqp.Types;
using Sallyport.Protocol.ConnectionStrings;
using Sallyport.Protocol.Sas;
using Sallyport.Tests.Executable.Bounds;
using Map = Amqp.Types.Map;

namespace Sallyport.Tests.Executable.Clients;

/// <summary>A whole hub and a client library that is not ours (AMQPNetLite), over TLS and WebSocket.</summary>
public sealed class AmqpNetLiteTests : IAsyncLifetime
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private TestHub _hub = null!;
    private string _key = "";

    public async ValueTask InitializeAsync()
    {
        _hub = await TestHub.StartAsync();
        using var owner = _hub.Owner();
        _key = (string)(await owner.PutDeviceAsync("d1"))["authentication"]!["symmetricKey"]!["primaryKey"]!;
    }

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    [Theory]
    [InlineData("amqps", "/")]
    [InlineData("wss", "/$iothub/websocket")]
    [InlineData("wss", "/$servicebus/websocket")]
    public async Task Device_SendsWithCbs_AndAReaderReadsOnFromAFilter(string scheme, string path)
    {
        var device = await ConnectAsync(scheme, path);
        await PutAsync(device, "localhost/devices/d1", SharedAccessSignature.Create("localhost/devices/d1", _key, DateTimeOffset.UtcNow.AddHours(1)));
        var sender = new SenderLink(new Session(device), "up", "devices/d1/messages/events");
        for (var i = 0; i < 10; i++)
        {
            await sender.SendAsync(new Message
            {
                BodySection = new Data { Binary = Encoding.UTF8.GetBytes($"{i}") },
                Properties = new Properties { MessageId = $"m{i}", ContentType = "text/plain" },
                ApplicationProperties = new ApplicationProperties { ["unit"] = "C", ["count"] = i },
            });
        }

        var service = await ServiceAsync(scheme, path);
        var partition = await PartitionOfAsync(service);
        var messages = await ReadAsync(service, partition, "amqp.annotation.x-opt-sequence-number > '3'", 6);

        Assert.Equal(["4", "5", "6", "7", "8", "9"], messages.Select(BodyOf));
        Assert.Equal(("m4", "text/plain", "C", "4"), (messages[0].Properties.MessageId, messages[0].Properties.ContentType.ToString(), messages[0].ApplicationProperties["unit"], messages[0].ApplicationProperties["count"]));
        Assert.Equal("d1", messages[0].MessageAnnotations[new Symbol("iothub-connection-device-id")]);
        Assert.Equal(4L, messages[0].MessageAnnotations[new Symbol("x-opt-sequence-number")]);
        await device.CloseAsync();
        await service.CloseAsync();
        Assert.Null(device.Error);
        Assert.Null(service.Error);
    }

    [Theory]
    [InlineData("amqps", "/")]
    [InlineData("wss", "/$iothub/websocket")]
    public async Task Refusals_ComeAsTheStandardSaysThem(string scheme, string path)
    {
        var device = await ConnectAsync(scheme, path);
        await PutAsync(device, "localhost/devices/d1", SharedAccessSignature.Create("localhost/devices/d1", _key, DateTimeOffset.UtcNow.AddHours(1)));
        var session = new Session(device);

        var other = await Assert.ThrowsAsync<AmqpException>(() => new SenderLink(session, "other", "devices/d2/messages/events").SendAsync(new Message("x") { BodySection = new Data { Binary = [1] } }));
        Assert.Equal("amqp:unauthorized-access", other.Error.Condition.ToString());

        var sender = new SenderLink(session, "up", "devices/d1/messages/events");
        var tooLarge = await Assert.ThrowsAsync<AmqpException>(() => sender.SendAsync(new Message { BodySection = new Data { Binary = new byte[(256 * 1024) + 1] } }));
        Assert.Equal("amqp:link:message-size-exceeded", tooLarge.Error.Condition.ToString());
        await sender.SendAsync(new Message { BodySection = new Data { Binary = [1] } });
        await device.CloseAsync();
    }

    [Fact]
    public async Task Plain_WithAPolicysToken_NeedsNoCbs()
    {
        var policy = ConnectionString.Parse(_hub.Endpoints.ServiceConnectionString!);
        var token = SharedAccessSignature.Create("localhost", policy.SharedAccessKey!, DateTimeOffset.UtcNow.AddHours(1), policy.SharedAccessKeyName);
        var service = await Factory(profile: null).CreateAsync(
            new Address("localhost", _hub.Endpoints.AmqpsPort!.Value, $"{policy.SharedAccessKeyName}@sas.root.localhost", token, "/", "amqps"));

        var receiver = new ReceiverLink(new Session(service), "r", "events/ConsumerGroups/$Default/Partitions/0");
        Assert.Null(await receiver.ReceiveAsync(TimeSpan.FromMilliseconds(1)));
        Assert.Null(receiver.Error);
        await service.CloseAsync();
    }

    private async Task<IReadOnlyList<Message>> ReadAsync(Connection service, string partition, string selector, int count)
    {
        var source = new Source
        {
            Address = $"events/ConsumerGroups/$Default/Partitions/{partition}",
            FilterSet = new Map { [new Symbol("apache.org:selector-filter:string")] = new DescribedValue(new Symbol("apache.org:selector-filter:string"), selector) },
        };
        var receiver = new ReceiverLink(new Session(service), "reader", source, null);
        var messages = new List<Message>();
        while (messages.Count < count)
        {
            var message = await receiver.ReceiveAsync(Patience);
            Assert.NotNull(message);
            receiver.Accept(message);
            messages.Add(message);
        }

        await receiver.CloseAsync();
        return messages;
    }

    // Whose newest event is not before its first: there is one device.
    private static async Task<string> PartitionOfAsync(Connection service)
    {
        for (var partition = 0; ; partition++)
        {
            var answer = await RequestAsync(service, "$management", ("operation", "READ"), ("type", "com.microsoft:partition"), ("name", "events"), ("partition", partition.ToString(CultureInfo.InvariantCulture)));
            Assert.Equal(200, answer.ApplicationProperties["status-code"]);
            if (((Map)answer.Body)["last_enqueued_sequence_number"] is 9L)
                return partition.ToString(CultureInfo.InvariantCulture);
        }
    }

    private async Task<Connection> ServiceAsync(string scheme, string path)
    {
        var service = await ConnectAsync(scheme, path);
        var policy = ConnectionString.Parse(_hub.Endpoints.ServiceConnectionString!);
        await PutAsync(service, "sb://localhost/events", SharedAccessSignature.Create("localhost", policy.SharedAccessKey!, DateTimeOffset.UtcNow.AddHours(1), policy.SharedAccessKeyName));
        return service;
    }

    private static async Task PutAsync(Connection connection, string audience, string token)
    {
        var answer = await RequestAsync(connection, "$cbs", token, ("operation", "put-token"), ("type", "servicebus.windows.net:sastoken"), ("name", audience));
        Assert.Equal(200, answer.ApplicationProperties["status-code"]);
    }

    private static Task<Message> RequestAsync(Connection connection, string node, params (string Name, object Value)[] properties) => RequestAsync(connection, node, null, properties);

    private static async Task<Message> RequestAsync(Connection connection, string node, object? body, params (string Name, object Value)[] properties)
    {
        var session = new Session(connection);
        var requests = new SenderLink(session, $"ask-{Guid.NewGuid():N}", node);
        var replyTo = $"answers-{Guid.NewGuid():N}";
        var answers = new ReceiverLink(session, replyTo, new Attach { Source = new Source { Address = node }, Target = new Target { Address = replyTo } }, null);
        var request = new Message { BodySection = new AmqpValue { Value = body }, Properties = new Properties { MessageId = "1", ReplyTo = replyTo }, ApplicationProperties = new ApplicationProperties() };
        foreach (var (name, value) in properties)
            request.ApplicationProperties[name] = value;
        await requests.SendAsync(request);
        var answer = await answers.ReceiveAsync(Patience);
        Assert.Equal("1", answer.Properties.CorrelationId);
        answers.Accept(answer);
        await session.CloseAsync();
        return answer;
    }

    private Task<Connection> ConnectAsync(string scheme, string path) =>
        Factory(SaslProfile.Anonymous).CreateAsync(new Address("localhost", scheme == "wss" ? _hub.Endpoints.HttpsPort : _hub.Endpoints.AmqpsPort!.Value, null, null, path, scheme));

    private ConnectionFactory Factory(SaslProfile? profile)
    {
        var sockets = new WebSocketTransportFactory("AMQPWSB10") { Options = options => options.RemoteCertificateValidationCallback = IsOurs };
        var factory = new ConnectionFactory([sockets]);
        factory.SSL.RemoteCertificateValidationCallback = IsOurs;
        if (profile is not null)
            factory.SASL.Profile = profile;
        factory.AMQP.HostName = "localhost";
        return factory;
    }

    private bool IsOurs(object sender, X509Certificate? certificate, X509Chain? chain, SslPolicyErrors errors)
    {
        using var trusted = new X509Chain { ChainPolicy = WireDevice.Trust(_hub.Endpoints) };
        return certificate is not null && trusted.Build((X509Certificate2)certificate);
    }

    private static string BodyOf(Message message) => Encoding.UTF8.GetString(message.GetBody<byte[]>());
}
