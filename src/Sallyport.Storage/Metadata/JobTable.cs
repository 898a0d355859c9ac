namespace Sallyport.Storage.Metadata;

/// <summary>Jobs and their devices in SQLite. Stateless; thread-safe.</summary>
internal sealed class JobTable : IJobStore
{
    private const string Columns = """
        sequence, job_id, type, status, query_condition, act, creator, creator_rights, creator_prefixes, creator_tags, credential, correlation_id,
        created_time, start_time, max_execution_s, end_time, failure_reason, ending, chosen_device_id, chosen_module_id, chosen,
        devices, pending, running, succeeded, failed, canceled, outcomes
        """;

    private const string DeviceColumns = """
        job, device_id, module_id, generation_id, job_device.status, job_device.created_time, updated_time, job_device.start_time, job_device.end_time,
        response_status, response_payload, error_code, error_description
        """;

    public long? Add(MetadataTransaction tx, JobRecord record) => SqliteSession.Of(tx)["""
        INSERT INTO job (job_id, type, status, query_condition, act, creator, creator_rights, creator_prefixes, creator_tags, credential, correlation_id,
            created_time, start_time, max_execution_s, ending, chosen_device_id, chosen_module_id, chosen, devices, pending, running, succeeded, failed, canceled, outcomes)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, 0, '', '', 0, 0, 0, 0, 0, 0, 0, 0)
        ON CONFLICT (job_id) DO NOTHING RETURNING sequence
        """].Number(
        record.JobId, (int)record.Type, (int)record.Status, record.QueryCondition, record.Act, record.Creator, record.CreatorRights, record.CreatorPrefixes, record.CreatorTags,
        record.Credential, record.CorrelationId, record.CreatedTime.UtcTicks, record.StartTime.UtcTicks, (long)record.MaxExecutionTime.TotalSeconds);

    public JobRecord? Find(MetadataTransaction tx, string jobId) => SqliteSession.Of(tx)[$"SELECT {Columns} FROM job WHERE job_id = $1"].First(Record, jobId);

    public JobRecord? Find(MetadataTransaction tx, long sequence) => SqliteSession.Of(tx)[$"SELECT {Columns} FROM job WHERE sequence = $1"].First(Record, sequence);

    public void Update(MetadataTransaction tx, JobRecord record) => SqliteSession.Of(tx)["""
        UPDATE job SET status = $2, end_time = $3, failure_reason = $4, ending = $5, chosen_device_id = $6, chosen_module_id = $7, chosen = $8,
            devices = $9, pending = $10, running = $11, succeeded = $12, failed = $13, canceled = $14, outcomes = $15
        WHERE sequence = $1
        """].Execute(
        record.Sequence, (int)record.Status, record.EndTime?.UtcTicks, record.FailureReason, (int)record.Ending, record.ChosenDeviceId, record.ChosenModuleId, record.IsChosen ? 1 : 0,
        record.Devices, record.Pending, record.Running, record.Succeeded, record.Failed, record.Canceled, record.Outcomes);

    public IReadOnlyList<JobRecord> List(MetadataTransaction tx, JobType? type, JobStatus? status, long before, int top) => SqliteSession.Of(tx)[$"""
        SELECT {Columns} FROM job WHERE sequence < $1 AND ($2 IS NULL OR type = $2) AND ($3 IS NULL OR status = $3) ORDER BY sequence DESC LIMIT $4
        """].All(Record, before, (int?)type, (int?)status, Math.Max(top, 0));

    public IReadOnlyList<OpenJob> ListOpen(MetadataTransaction tx) => SqliteSession.Of(tx)["SELECT sequence, status, start_time FROM job WHERE status <= 2 OR ending > 0 ORDER BY sequence"]
        .All(row => new OpenJob(row.GetInt64(0), (JobStatus)row.GetByte(1), row.Time(2)));

    public IReadOnlyList<JobRecord> ListEnded(MetadataTransaction tx, DateTimeOffset? endedBefore, bool withOutcomes, int top) => SqliteSession.Of(tx)[$"""
        SELECT {Columns} FROM job WHERE status > 2 AND ending = 0 AND ($1 IS NULL OR end_time < $1) AND ($2 = 0 OR outcomes > 0) ORDER BY sequence LIMIT $3
        """].All(Record, endedBefore?.UtcTicks, withOutcomes ? 1 : 0, Math.Max(top, 0));

    public (long Jobs, long Outcomes) Count(MetadataTransaction tx) =>
        (SqliteSession.Of(tx)["SELECT count(*) FROM job"].Number() ?? 0, SqliteSession.Of(tx)["SELECT sum(outcomes) FROM job"].Number() ?? 0);

    public bool Delete(MetadataTransaction tx, long sequence) => SqliteSession.Of(tx)["DELETE FROM job WHERE sequence = $1"].Execute(sequence) > 0;

    public int AddDevices(MetadataTransaction tx, long job, IReadOnlyList<JobDeviceRecord> records)
    {
        var insert = SqliteSession.Of(tx)["""
            INSERT INTO job_device (job, device_id, module_id, generation_id, status, created_time, updated_time) VALUES ($1, $2, $3, $4, 0, $5, $6) ON CONFLICT DO NOTHING
            """];
        return records.Sum(record => insert.Execute(job, record.DeviceId, record.ModuleId, record.GenerationId, record.CreatedTime.UtcTicks, record.UpdatedTime.UtcTicks));
    }

    public JobDeviceRecord? FindDevice(MetadataTransaction tx, long job, string deviceId, string moduleId) =>
        SqliteSession.Of(tx)[$"SELECT {DeviceColumns} FROM job_device WHERE job = $1 AND device_id = $2 AND module_id = $3"].First(row => Device(row, 0), job, deviceId, moduleId);

    public IReadOnlyList<JobDeviceRecord> ListDevices(MetadataTransaction tx, long job, JobDeviceStatus status, (string DeviceId, string ModuleId) after, int top) => SqliteSession.Of(tx)[$"""
        SELECT {DeviceColumns} FROM job_device WHERE job = $1 AND (device_id, module_id) > ($2, $3) AND status = $4 ORDER BY device_id, module_id LIMIT $5
        """].All(row => Device(row, 0), job, after.DeviceId, after.ModuleId, (int)status, Math.Max(top, 0));

    public void PutDevice(MetadataTransaction tx, JobDeviceRecord record) => SqliteSession.Of(tx)["""
        UPDATE job_device SET status = $4, updated_time = $5, start_time = $6, end_time = $7, response_status = $8, response_payload = $9, error_code = $10, error_description = $11
        WHERE job = $1 AND device_id = $2 AND module_id = $3
        """].Execute(
        record.Job, record.DeviceId, record.ModuleId, (int)record.Status, record.UpdatedTime.UtcTicks, record.StartTime?.UtcTicks, record.EndTime?.UtcTicks,
        record.ResponseStatus, record.ResponsePayload, record.ErrorCode, record.ErrorDescription);

    public int DeleteDevices(MetadataTransaction tx, long job, int top) => SqliteSession.Of(tx)["""
        DELETE FROM job_device WHERE job = $1 AND (device_id, module_id) IN (SELECT device_id, module_id FROM job_device WHERE job = $1 LIMIT $2)
        """].Execute(job, top);

    public void ScanDevices(MetadataTransaction tx, JobDeviceScan scan, Func<JobDeviceRow, bool> visit)
    {
        // CROSS keeps the order of the two. '+' keeps the query from the index of the identities where a job is known.
        var session = SqliteSession.Of(tx);
        bool Visit(SqliteRow row) => visit(new JobDeviceRow(row.GetString(0), (JobType)row.GetByte(1), Device(row, 2)));
        if (scan.JobId is { } jobId)
        {
            session[$"""
                SELECT job_id, type, {DeviceColumns} FROM job CROSS JOIN job_device ON job = sequence
                WHERE job_id = $1 AND (job, device_id, module_id) > ($2, $3, $4) AND ($5 IS NULL OR device_id = $5) ORDER BY job, device_id, module_id
                """].Each(Visit, jobId, scan.After.Job, scan.After.DeviceId, scan.After.ModuleId, scan.DeviceId);
        }
        else if (scan.DeviceId is { } deviceId)
        {
            session[$"""
                SELECT job_id, type, {DeviceColumns} FROM job_device INDEXED BY job_device_identity CROSS JOIN job ON sequence = job
                WHERE device_id = $1 AND (job, device_id, module_id) > ($2, $3, $4) ORDER BY job, device_id, module_id
                """].Each(Visit, deviceId, scan.After.Job, scan.After.DeviceId, scan.After.ModuleId);
        }
        else
        {
            session[$"""
                SELECT job_id, type, {DeviceColumns} FROM job_device CROSS JOIN job ON sequence = job
                WHERE (job, device_id, module_id) > ($1, $2, $3) ORDER BY job, device_id, module_id
                """].Each(Visit, scan.After.Job, scan.After.DeviceId, scan.After.ModuleId);
        }
    }

    private static JobRecord Record(SqliteRow row) => new()
    {
        Sequence = row.GetInt64(0),
        JobId = row.GetString(1),
        Type = (JobType)row.GetByte(2),
        Status = (JobStatus)row.GetByte(3),
        QueryCondition = row.GetString(4),
        Act = row.GetBytes(5),
        Creator = row.GetString(6),
        CreatorRights = row.GetInt64(7),
        CreatorPrefixes = row.GetString(8),
        CreatorTags = row.GetString(9),
        Credential = row.GetString(10),
        CorrelationId = row.GetString(11),
        CreatedTime = row.Time(12),
        StartTime = row.Time(13),
        MaxExecutionTime = TimeSpan.FromSeconds(row.GetInt64(14)),
        EndTime = row.TimeOrNull(15),
        FailureReason = row.TextOrNull(16),
        Ending = (JobEnding)row.GetByte(17),
        ChosenDeviceId = row.GetString(18),
        ChosenModuleId = row.GetString(19),
        IsChosen = row.GetBoolean(20),
        Devices = row.GetInt32(21),
        Pending = row.GetInt32(22),
        Running = row.GetInt32(23),
        Succeeded = row.GetInt32(24),
        Failed = row.GetInt32(25),
        Canceled = row.GetInt32(26),
        Outcomes = row.GetInt32(27),
    };

    private static JobDeviceRecord Device(SqliteRow row, int at) => new()
    {
        Job = row.GetInt64(at),
        DeviceId = row.GetString(at + 1),
        ModuleId = row.GetString(at + 2),
        GenerationId = row.GetString(at + 3),
        Status = (JobDeviceStatus)row.GetByte(at + 4),
        CreatedTime = row.Time(at + 5),
        UpdatedTime = row.Time(at + 6),
        StartTime = row.TimeOrNull(at + 7),
        EndTime = row.TimeOrNull(at + 8),
        ResponseStatus = row.IsDBNull(at + 9) ? null : row.GetInt32(at + 9),
        ResponsePayload = row.BytesOrNull(at + 10),
        ErrorCode = row.TextOrNull(at + 11),
        ErrorDescription = row.TextOrNull(at + 12),
    };
}
