using System.Text.Json;
using Sallyport.Hub.Devices;
using Sallyport.Hub.Registry;
using Sallyport.Hub.Twins;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Queries;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Queries;

/// <summary>
/// The members of a twin's JSON outside of tags and properties, without making the JSON. They are what <see cref="TwinJson"/> writes: a test compares
/// each of them.
/// </summary>
internal sealed class TwinFields(ConnectedDevices connected, ActivityWriteBack activity)
{
    /// <summary>Those that are in a twin's own row, or in memory; for the others its identity is needed.</summary>
    public static bool NeedsIdentity(string field) =>
        field is not ("deviceId" or "moduleId" or "etag" or "modelId" or "version" or "connectionState" or "properties" or "x509Thumbprint") && !IsOfConfigurations(field);

    /// <summary>Those that no identity has.</summary>
    public static bool NeedsTwin(string field) => field is "etag" or "modelId" or "version" || IsOfConfigurations(field);

    /// <summary>What a twin shows of its configurations; <see cref="RowValues"/> reads it, as it reads tags.</summary>
    public static bool IsOfConfigurations(string field) => field is "configurations" || field.StartsWith("configurations.", StringComparison.Ordinal);

    /// <summary>Those that are no objects and arrays.</summary>
    public static bool IsPrimitive(string field) => field is not ("properties" or "x509Thumbprint" or "capabilities" or "parentScopes") && !IsOfConfigurations(field);

    /// <summary>Those that change without a write to the store.</summary>
    public static bool IsVolatile(string field) => field is "connectionState" or "lastActivityTime" or "cloudToDeviceMessageCount";

    /// <summary>The identity as it is this moment, with its twin.</summary>
    /// <param name="row">Of a scan with identities.</param>
    public TwinState StateOf(in TwinRow row)
    {
        var identity = row.Identity();
        return new TwinState(activity.Join(identity), IsConnected(row), row.Twin());
    }

    /// <param name="identity">Of the row, read once when a field needs it.</param>
    public QueryValue ValueOf(string field, in TwinRow row, ref IdentityRecord? identity)
    {
        switch (field)
        {
            case "deviceId":
                return QueryValue.Of(row.DeviceId);
            case "moduleId":
                return row.ModuleId is { } module ? QueryValue.Of(module) : QueryValue.Undefined;
            case "etag":
                return QueryValue.Of(EntityTag.Format(row.ETag));
            case "modelId":
                return QueryValue.Of(row.ModelId ?? "");
            case "version":
                return QueryValue.Of(row.Version);
            case "connectionState":
                return QueryValue.Of(IsConnected(row) ? "Connected" : "Disconnected");
            case "properties" or "x509Thumbprint":
                return QueryValue.Object;
            default:
                return NeedsIdentity(field) ? ValueOf(field, identity ??= row.Identity()) : QueryValue.Undefined;
        }
    }

    private QueryValue ValueOf(string field, IdentityRecord identity)
    {
        switch (field)
        {
            case "deviceEtag":
                return QueryValue.Of(EntityTag.Format(identity.ETag));
            case "status":
                return QueryValue.Of(identity.Enabled ? "enabled" : "disabled");
            case "statusReason":
                return identity.StatusReason is { } reason ? QueryValue.Of(reason) : QueryValue.Undefined;
            case "statusUpdateTime":
                return QueryValue.Of(TwinJson.TimeOrNever(identity.StatusUpdatedTime));
            case "lastActivityTime":
                return QueryValue.Of(TwinJson.TimeOrNever(activity.Join(identity).LastActivityTime));
            case "cloudToDeviceMessageCount":
                return QueryValue.Of(identity.CommandCount);
            case "authenticationType":
                return QueryValue.Of(JsonNamingPolicy.CamelCase.ConvertName(identity.Authentication.ToString()));
            case "x509Thumbprint.primaryThumbprint":
                return QueryValue.Of(identity.PrimaryThumbprint);
            case "x509Thumbprint.secondaryThumbprint":
                return QueryValue.Of(identity.SecondaryThumbprint);
        }

        if (identity.ModuleId is not null)
            return QueryValue.Undefined;
        return field switch
        {
            "capabilities" => QueryValue.Object,
            "capabilities.iotEdge" => QueryValue.Of(identity.IotEdge),
            "deviceScope" when identity.DeviceScope is { } scope => QueryValue.Of(scope),
            "parentScopes" when identity.ParentScopes.Count > 0 => QueryValue.ArrayOf(JsonSerializer.Serialize(identity.ParentScopes)),
            _ => QueryValue.Undefined,
        };
    }

    private bool IsConnected(in TwinRow row) => Identity.TryCreate(row.DeviceId, row.ModuleId, out var identity) && connected.IsConnected(identity);
}
