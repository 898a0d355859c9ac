using System.Buffers;
using System.Runtime.InteropServices;
using System.Text.Json;
using Sallyport.Hub.Twins;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;

namespace Sallyport.Hub.Registry;

/// <summary>What an item of a bulk request, or a line of an import, asks for (<c>importMode</c>; SDKs differ in case).</summary>
public static class BulkItem
{
    private const string IfMatchSuffix = "IFMATCHETAG";

    private const string OfTwin = "UPDATETWIN";

    /// <summary>The item changes a twin, and its identity not at all.</summary>
    public static bool IsOfTwin(IdentityRequestJson item) => item.ImportMode?.StartsWith(OfTwin, StringComparison.OrdinalIgnoreCase) is true;

    /// <summary>The item deletes its identity.</summary>
    public static bool Deletes(IdentityRequestJson item) => item.ImportMode?.StartsWith("delete", StringComparison.OrdinalIgnoreCase) is true;

    /// <summary>The item says something of its twin.</summary>
    public static bool HasTwin(IdentityRequestJson item) => IsOfTwin(item) || HasContent(item.Tags) || HasContent(item.Properties);

    /// <exception cref="HubException">400: an id is not valid.</exception>
    public static Identity IdentityOf(IdentityRequestJson item) =>
        Identity.TryCreate(item.Id, item.ModuleId, out var identity) ? identity : throw new HubException(HubErrors.ArgumentInvalid, "id: is not a valid id");

    /// <summary>What the item merges into the twin; null when that is nothing. A twin-only item's ETag is <c>twinETag</c>.</summary>
    /// <exception cref="HubException">400: no such mode, or the twin is against a rule.</exception>
    public static BulkTwinChange? ToTwinChange(IdentityRequestJson item)
    {
        var isOfTwin = IsOfTwin(item);
        if (Deletes(item) || !HasTwin(item))
            return null;

        var condition = EntityTagCondition.Any;
        if (isOfTwin && item.ImportMode!.Length > OfTwin.Length)
        {
            if (!item.ImportMode.AsSpan(OfTwin.Length).Equals(IfMatchSuffix, StringComparison.OrdinalIgnoreCase))
                throw NoSuchMode();
            condition = EntityTagCondition.Parse(item.TwinEtag ?? "");
        }

        var twin = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(twin))
        {
            json.WriteStartObject();
            Copy(json, "tags"u8, item.Tags);
            Copy(json, "properties"u8, item.Properties);
            json.WriteEndObject();
        }

        return new BulkTwinChange(IdentityOf(item), TwinChange.Read(twin.WrittenSpan, replaces: false), condition);
    }

    /// <exception cref="HubException">400: no such mode.</exception>
    public static IdentityChange ToChange(IdentityRequestJson item)
    {
        var identity = IdentityOf(item);
        var mode = (item.ImportMode ?? "createOrUpdate").ToUpperInvariant();
        var condition = EntityTagCondition.Any;
        if (mode.EndsWith(IfMatchSuffix, StringComparison.Ordinal))
        {
            mode = mode[..^IfMatchSuffix.Length];
            condition = EntityTagCondition.Parse(item.Etag ?? "");
        }

        return mode switch
        {
            "CREATE" => new IdentityChange(identity, PutMode.Create, item.ToDraft(), condition),
            "UPDATE" => new IdentityChange(identity, PutMode.Update, item.ToDraft(), condition),
            "CREATEORUPDATE" => new IdentityChange(identity, PutMode.CreateOrUpdate, item.ToDraft(), condition),
            "DELETE" => IdentityChange.Delete(identity, condition),
            _ => throw NoSuchMode(),
        };
    }

    private static HubException NoSuchMode() => new(
        HubErrors.ArgumentInvalid,
        "importMode: create, createOrUpdate, createOrUpdateIfMatchETag, update, updateIfMatchETag, delete, deleteIfMatchETag, updateTwin or updateTwinIfMatchETag");

    private static void Copy(Utf8JsonWriter json, ReadOnlySpan<byte> name, JsonElement value)
    {
        if (value.ValueKind is JsonValueKind.Undefined)
            return;
        json.WritePropertyName(name);
        json.WriteRawValue(JsonMarshal.GetRawUtf8Value(value), skipInputValidation: true);
    }

    private static bool HasContent(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.Undefined or JsonValueKind.Null => false,
        JsonValueKind.Object => value.EnumerateObject().Any(member => member.Value.ValueKind is not JsonValueKind.Object || HasContent(member.Value)),
        _ => true,
    };
}

/// <summary>The twin's part of an item.</summary>
public sealed record BulkTwinChange(Identity Identity, TwinChange Change, EntityTagCondition Condition);
