using System.Text;
using System.Text.Json.Serialization;
using Sallyport.Hub.Commands;
using Sallyport.Protocol.Amqp.Messages;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Messages;
using Sallyport.Storage.Metadata;

namespace Sallyport.Heads.Http;

/// <summary>A command as an operator sends it.</summary>
internal sealed record CommandRequestJson
{
    /// <summary>The body as text, sent as UTF-8.</summary>
    public string? Body { get; init; }

    /// <summary>Instead of <see cref="Body"/>: the bytes.</summary>
    public string? BodyBase64 { get; init; }

    public string? MessageId { get; init; }
    public string? CorrelationId { get; init; }
    public string? UserId { get; init; }
    public string? ContentType { get; init; }
    public string? ContentEncoding { get; init; }

    /// <summary>ISO 8601; the hub's default when left out.</summary>
    public string? ExpiryTimeUtc { get; init; }

    /// <summary><c>none</c>, <c>positive</c>, <c>negative</c> or <c>full</c>.</summary>
    public string? Ack { get; init; }

    public Dictionary<string, string?>? Properties { get; init; }

    /// <exception cref="HubException">400, 413.</exception>
    public CommandDraft ToDraft(Identity to)
    {
        var properties = new MessageProperties();
        Set(SystemProperty.MessageId, MessageId);
        Set(SystemProperty.CorrelationId, CorrelationId);
        Set(SystemProperty.UserId, UserId);
        Set(SystemProperty.ContentType, ContentType);
        Set(SystemProperty.ContentEncoding, ContentEncoding);
        Set(SystemProperty.AbsoluteExpiryTime, ExpiryTimeUtc);
        Set(SystemProperty.Ack, Ack);
        foreach (var (name, value) in Properties ?? [])
        {
            if (name.Length == 0 || !properties.TryAdd(Encoding.UTF8.GetBytes(name), Encoding.UTF8.GetBytes(value ?? ""), isNull: value is null))
                throw HttpMessageProperties.TooMany();
        }

        return CommandDraft.Create(to, properties, Bytes());

        void Set(SystemProperty key, string? value)
        {
            if (value is not null && !properties.TrySet(key, Encoding.UTF8.GetBytes(value)))
                throw HttpMessageProperties.TooMany();
        }
    }

    private byte[] Bytes()
    {
        if (BodyBase64 is null)
            return Encoding.UTF8.GetBytes(Body ?? "");
        if (Body is not null)
            throw new HubException(HubErrors.ArgumentInvalid, "body and bodyBase64: one of them");

        try
        {
            return Convert.FromBase64String(BodyBase64);
        }
        catch (FormatException)
        {
            throw new HubException(HubErrors.ArgumentInvalid, "bodyBase64: not base64");
        }
    }
}

/// <param name="MessageId">Given by the hub when the sender gave none.</param>
internal sealed record CommandSentJson(long Sequence, [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? MessageId);

/// <summary>Azure IoT Hub's answer to a purge.</summary>
internal sealed record PurgeJson(int TotalMessagesPurged, string DeviceId, string? ModuleId);

/// <summary>A command that waits, was taken, or was given up.</summary>
internal sealed record CommandJson
{
    public required long Sequence { get; init; }
    public required string DeviceId { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? ModuleId { get; init; }

    /// <summary><c>enqueued</c>, <c>invisible</c> or <c>deadLettered</c>.</summary>
    public required string State { get; init; }

    public required string MessageId { get; init; }
    public required DateTime EnqueuedTime { get; init; }
    public required DateTime ExpiryTimeUtc { get; init; }
    public required string Ack { get; init; }
    public required int DeliveryCount { get; init; }
    public required int SizeBytes { get; init; }

    /// <summary>Why it was given up: <c>rejected</c>, <c>expired</c>, <c>deliveryCountExceeded</c>.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Reason { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public DateTime? DeadTime { get; init; }

    /// <summary>Of one that was taken: by it the command is completed, abandoned or rejected.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? LockToken { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? CorrelationId { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? UserId { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? ContentType { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? ContentEncoding { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public Dictionary<string, string?>? Properties { get; init; }

    /// <summary>The body, when it is UTF-8.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Body { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? BodyBase64 { get; init; }

    public static CommandJson Of(CommandRecord command, bool isLocked) => Of(command, isLocked ? "invisible" : "enqueued");

    public static CommandJson Of(DeadCommandRecord dead) => Whole(Of(dead.Command, "deadLettered"), dead.Command) with
    {
        Sequence = dead.Sequence,
        Reason = Name(dead.Reason.ToString()),
        DeadTime = dead.DeadTime.UtcDateTime,
    };

    public static CommandJson Of(LockedCommand locked) => Whole(Of(locked.Command, "invisible"), locked.Command) with { LockToken = locked.Token.ToString("D") };

    private static CommandJson Of(CommandRecord command, string state) => new()
    {
        Sequence = command.Sequence,
        DeviceId = command.DeviceId,
        ModuleId = command.ModuleId,
        State = state,
        MessageId = command.MessageId,
        EnqueuedTime = command.EnqueuedTime.UtcDateTime,
        ExpiryTimeUtc = command.Expires.UtcDateTime,
        Ack = Name(command.Ack.ToString()),
        DeliveryCount = command.DeliveryCount,
        SizeBytes = command.Message.Length,
    };

    private static CommandJson Whole(CommandJson json, CommandRecord command)
    {
        var properties = new MessageProperties();
        DeviceMessage.Read(command.Message, properties, out var body);
        var application = new Dictionary<string, string?>(StringComparer.Ordinal);
        for (var i = 0; i < properties.Count; i++)
            application[Encoding.UTF8.GetString(properties.Name(i))] = properties.IsNull(i) ? null : Encoding.UTF8.GetString(properties.Value(i));

        var isText = System.Text.Unicode.Utf8.IsValid(body);
        return json with
        {
            CorrelationId = Text(properties, SystemProperty.CorrelationId),
            UserId = Text(properties, SystemProperty.UserId),
            ContentType = Text(properties, SystemProperty.ContentType),
            ContentEncoding = Text(properties, SystemProperty.ContentEncoding),
            Properties = application.Count == 0 ? null : application,
            Body = isText ? Encoding.UTF8.GetString(body) : null,
            BodyBase64 = isText ? null : Convert.ToBase64String(body),
        };
    }

    private static string? Text(MessageProperties properties, SystemProperty key) => properties.Has(key) ? Encoding.UTF8.GetString(properties.System(key)) : null;

    private static string Name(string name) => char.ToLowerInvariant(name[0]) + name[1..];
}
