using System.Text.Json;
using Sallyport.Hub.Registry;
using Sallyport.Protocol.Amqp;
using Sallyport.Protocol.Errors;
using Sallyport.Storage.EventLog;
using Sallyport.Storage.Metadata;

namespace Sallyport.Tests.Hub.Registry;

public sealed class LifecycleEventsTests : IAsyncLifetime
{
    private RegistryFixture _hub = null!;

    public async ValueTask InitializeAsync() => _hub = await RegistryFixture.OpenAsync();

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    [Fact]
    public async Task CreateAndDelete_AreTold_UpdateIsNot()
    {
        await _hub.CreateAsync("d1");
        await _hub.CreateAsync("d1", "m1");
        await _hub.UpdateAsync("d1", new IdentityDraft { StatusReason = "x" });
        await _hub.DeleteAsync("d1", "m1");
        await _hub.DeleteAsync("d1");

        Assert.Equal(
            ["createDeviceIdentity", "createModuleIdentity", "deleteModuleIdentity", "deleteDeviceIdentity"],
            Outbox().Select(record => Property(record, "opType")));
        Assert.All(Outbox(), record => Assert.Equal((StreamId.Changes.Number, (byte)SourceKind.DeviceLifecycle), (record.Stream, record.Source)));
    }

    [Fact]
    public async Task EdgeDevice_TellsOfItsRuntimesModulesToo()
    {
        await _hub.CreateAsync("edge", draft: new IdentityDraft { IotEdge = true });

        Assert.Equal([null, "$edgeAgent", "$edgeHub"], Outbox().Select(record => Property(record, "moduleId")));
    }

    [Fact]
    public async Task ARefusedChange_TellsNothing()
    {
        await _hub.CreateAsync("d1");
        await RegistryFixture.RefusedAsync(HubErrors.DeviceAlreadyExists, () => _hub.CreateAsync("d1"));

        Assert.Single(Outbox());
    }

    [Fact]
    public async Task Event_IsAStoredMessageAsIoTHubWritesIt()
    {
        await _hub.CreateAsync("d1");
        var module = await _hub.CreateAsync("d1", "m1");
        var record = Outbox()[1];

        Assert.True(StoredMessage.TryRead(record.Message, out var message));
        Assert.True(message.TryGet(AmqpProperty.CorrelationId, out var correlation));
        Assert.Equal("c0ffee"u8, correlation.Content);
        Assert.True(message.TryGet(AmqpProperty.UserId, out var user));
        Assert.Equal("hub"u8, user.Content);
        Assert.True(message.TryGet(AmqpProperty.ContentType, out var contentType));
        Assert.Equal("application/json"u8, contentType.Content);
        Assert.Equal("hub", Property(record, "hubName"));
        Assert.Equal("d1", Property(record, "deviceId"));
        Assert.Equal("m1", Property(record, "moduleId"));
        Assert.Equal("moduleLifecycleNotification", Property(record, "iothub-message-schema"));
        Assert.Equal("2026-01-02T12:00:00.0000000Z", Property(record, "operationTimestamp"));

        using var twin = JsonDocument.Parse(message.Body.ToArray());
        Assert.Equal("m1", twin.RootElement.GetProperty("moduleId").GetString());
        Assert.Equal(EntityTag.Format(module.ETag), twin.RootElement.GetProperty("deviceEtag").GetString());
        Assert.Equal(1, twin.RootElement.GetProperty("properties").GetProperty("desired").GetProperty("$version").GetInt32());
        Assert.DoesNotContain(module.PrimaryKey!, twin.RootElement.GetRawText());
    }

    private IReadOnlyList<OutboxRecord> Outbox() => _hub.Metadata.Read(tx => _hub.Metadata.Outbox.Peek(tx, 100));

    private static string? Property(OutboxRecord record, string name)
    {
        Assert.True(StoredMessage.TryRead(record.Message, out var message));
        return message.ApplicationProperties.TryFind(System.Text.Encoding.UTF8.GetBytes(name), out var value)
            ? System.Text.Encoding.UTF8.GetString(value.Content)
            : null;
    }
}
