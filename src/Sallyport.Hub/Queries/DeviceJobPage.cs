using System.Buffers;
using System.Globalization;
using System.Text.Json;
using Sallyport.Hub.Access;
using Sallyport.Hub.Twins;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Queries;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Queries;

/// <summary>A page of <c>devices.jobs</c>: what became of jobs on devices, in the order of jobs and ids. Owned by one request.</summary>
internal sealed class DeviceJobPage
{
    private readonly Query _query;
    private readonly IJobStore _jobs;
    private readonly MetadataTransaction _tx;
    private readonly Scope _scope;
    private readonly QueryLimits _limits;
    private readonly QueryClock _clock;
    private readonly JsonPaths _paths;
    private readonly QueryValue[] _slots;
    private readonly ArrayBufferWriter<byte> _page = new(4096);
    private readonly ArrayBufferWriter<byte> _row = new(512);

    public DeviceJobPage(Query query, IJobStore jobs, MetadataTransaction tx, Scope scope, QueryLimits limits, QueryClock clock)
    {
        _query = query;
        _jobs = jobs;
        _tx = tx;
        _scope = scope;
        _limits = limits;
        _clock = clock;
        _paths = new JsonPaths(query.Slots.Select((path, slot) => (path.Names, slot)));
        _slots = new QueryValue[query.Slots.Count];
    }

    /// <param name="from">Null: the first page.</param>
    /// <returns>The rows, and where to go on; null when there are no more.</returns>
    /// <exception cref="HubException">400: <paramref name="from"/> is not of this.</exception>
    public (ReadOnlyMemory<byte> Json, QueryContinuation? Next) Read(QueryContinuation? from, int maxRows)
    {
        var left = from is null ? _query.Top : from.Left;
        var rowsMax = (int)Math.Min(maxRows, left ?? maxRows);
        var last = from is null ? (0, "", "") : PlaceOf(from);
        var (rows, hasMore) = (0, false);
        _page.Write("["u8);
        _jobs.ScanDevices(_tx, new JobDeviceScan(last, OnlyOf("jobId"), OnlyOf("deviceId")), row =>
        {
            var place = (row.Device.Job, row.Device.DeviceId, row.Device.ModuleId);
            if (Admits(row))
            {
                if (rows == rowsMax || _page.WrittenCount >= _limits.MaxPageBytes)
                {
                    hasMore = true;
                    return false;
                }

                if (rows++ > 0)
                    _page.Write(","u8);
                _page.Write(_row.WrittenSpan);
            }

            last = place;
            return !(hasMore = _clock.IsOver());
        });
        _page.Write("]"u8);
        return (_page.WrittenMemory, !hasMore || rows == left ? null : new QueryContinuation(
            string.Create(CultureInfo.InvariantCulture, $"{last.Item1}/{last.Item2}"), last.Item3, left - rows));
    }

    private static (long Job, string DeviceId, string ModuleId) PlaceOf(QueryContinuation from)
    {
        var slash = from.After.IndexOf('/', StringComparison.Ordinal);
        return slash > 0 && long.TryParse(from.After.AsSpan(0, slash), NumberStyles.None, CultureInfo.InvariantCulture, out var job)
            ? (job, from.After[(slash + 1)..], from.ModuleId)
            : throw new HubException(HubErrors.ArgumentInvalid, "x-ms-continuation: is not what a page of this query gave; send the query without it to begin anew");
    }

    // The one value that a field must have by the conditions; null when they do not say.
    private string? OnlyOf(string field)
    {
        for (var slot = 0; slot < _query.Slots.Count; slot++)
        {
            if (_query.Slots[slot].Names is not [var name] || name != field)
                continue;
            if (_query.Conditions.Select(condition => condition.ValuesOf(slot)).FirstOrDefault(values => values is { Count: 1 })?.First() is { Kind: QueryKind.Text } only)
                return only.Text;
        }

        return null;
    }

    private bool Admits(in JobDeviceRow row)
    {
        if (!_scope.CoversDevice(row.Device.DeviceId))
            return false;

        _row.ResetWrittenCount();
        Write(_row, row);
        if (_query.Conditions.Count == 0)
            return true;

        _slots.AsSpan().Clear();
        _paths.Read(_row.WrittenSpan, _slots);
        return _query.Admits(_slots);
    }

    // As IoT Hub's DeviceJob; moduleId is ours, for jobs over modules.
    private static void Write(ArrayBufferWriter<byte> target, in JobDeviceRow row)
    {
        var device = row.Device;
        using var json = new Utf8JsonWriter(target, TwinJson.Options);
        json.WriteStartObject();
        json.WriteString("deviceId"u8, device.DeviceId);
        if (device.ModuleId.Length > 0)
            json.WriteString("moduleId"u8, device.ModuleId);
        json.WriteString("jobId"u8, row.JobId);
        json.WriteString("jobType"u8, JsonNamingPolicy.CamelCase.ConvertName(row.Type.ToString()));
        json.WriteString("status"u8, JsonNamingPolicy.CamelCase.ConvertName(device.Status.ToString()));
        json.WriteString("startTimeUtc"u8, TwinJson.TimeOrNever(device.StartTime));
        json.WriteString("endTimeUtc"u8, TwinJson.TimeOrNever(device.EndTime));
        json.WriteString("createdDateTimeUtc"u8, TwinJson.TimeOrNever(device.CreatedTime));
        json.WriteString("lastUpdatedDateTimeUtc"u8, TwinJson.TimeOrNever(device.UpdatedTime));
        if (device.ErrorCode is { } code)
        {
            json.WriteStartObject("error"u8);
            json.WriteString("code"u8, code);
            json.WriteString("description"u8, device.ErrorDescription);
            json.WriteEndObject();
        }
        else if (device.Status is JobDeviceStatus.Completed)
        {
            json.WriteStartObject("outcome"u8);
            WriteResponse(json, device);
            json.WriteEndObject();
        }

        json.WriteEndObject();
    }

    private static void WriteResponse(Utf8JsonWriter json, JobDeviceRecord device)
    {
        json.WritePropertyName("deviceMethodResponse"u8);
        if (device.ResponseStatus is not { } status)
        {
            json.WriteNullValue();
            return;
        }

        json.WriteStartObject();
        json.WriteNumber("status"u8, status);
        json.WritePropertyName("payload"u8);
        if (device.ResponsePayload is { } payload)
            json.WriteRawValue(payload, skipInputValidation: true);
        else
            json.WriteNullValue();
        if (device.ResponsePayload is null)
            json.WriteBoolean("payloadIsTooLarge"u8, true);
        json.WriteEndObject();
    }
}
