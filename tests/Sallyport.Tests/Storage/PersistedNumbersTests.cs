using Sallyport.Hub.Access;
using Sallyport.Storage.EventLog;
using Sallyport.Storage.Metadata;

namespace Sallyport.Tests.Storage;

/// <summary>Numbers that are on disk somewhere: a name may be added, none may move.</summary>
public sealed class PersistedNumbersTests
{
    [Fact]
    public void PersistedNumbers_Rights_AreFrozen() => Assert.Equal(
        "None=0 DeviceConnect=1 TelemetryRead=2 CommandSend=4 MethodInvoke=8 TwinRead=16 TwinWrite=32 RegistryRead=64 RegistrySecrets=128 RegistryWrite=256 "
        + "JobManage=512 ConfigurationManage=1024 ConnectionManage=2048 RouteManage=4096 AccessManage=8192 AuditRead=16384 LakeRead=32768 ThreatRun=65536 FileRead=131072 FileDelete=262144",
        Numbers<Rights>());

    [Fact]
    public void PersistedNumbers_SourceKind_AreFrozen() => Assert.Equal(
        "Telemetry=0 TwinChange=1 DeviceLifecycle=2 DeviceConnectionState=3 JobLifecycle=4 Digest=5", Numbers<SourceKind>());

    [Fact]
    public void PersistedNumbers_IdentityAuthentication_AreFrozen() => Assert.Equal(
        "Sas=0 SelfSigned=1 CertificateAuthority=2 None=3", Numbers<IdentityAuthentication>());

    [Fact]
    public void PersistedNumbers_StreamId_AreFrozen() => Assert.Equal(
        (0, 1, 2, 3), (StreamId.Events.Number, StreamId.Routed.Number, StreamId.Changes.Number, StreamId.Quarantine.Number));

    [Fact]
    public void PersistedNumbers_RevocationCheck_AreFrozen() => Assert.Equal("Off=0 SoftFail=1 HardFail=2", Numbers<RevocationCheck>());

    [Fact]
    public void PersistedNumbers_OfCommands_AreFrozen() => Assert.Equal(
        ("None=0 Positive=1 Negative=2 Full=3", "Rejected=1 Expired=2 DeliveryCountExceeded=3", "Success=0 Expired=1 DeliveryCountExceeded=2 Rejected=3 Purged=4"),
        (Numbers<CommandAck>(), Numbers<DeadReason>(), Numbers<FeedbackStatus>()));

    [Fact]
    public void PersistedNumbers_OfRegistryJobs_AreFrozen() => Assert.Equal(
        ("Export=0 Import=1", "Enqueued=0 Running=1 Completed=2 Failed=3 Cancelled=4"), (Numbers<RegistryJobKind>(), Numbers<RegistryJobStatus>()));

    [Fact]
    public void PersistedNumbers_OfUploads_AreFrozen() => Assert.Equal("Open=0 Done=1 Failed=2", Numbers<UploadState>());

    [Fact]
    public void PersistedNumbers_OfJobs_AreFrozen() => Assert.Equal(
        ("ScheduleUpdateTwin=0 ScheduleDeviceMethod=1", "Scheduled=0 Queued=1 Running=2 Completed=3 Failed=4 Cancelled=5", "None=0 TimeIsOver=1 Cancelled=2 Failed=3",
            "Pending=0 Running=1 Completed=2 Failed=3 Canceled=4"),
        (Numbers<JobType>(), Numbers<JobStatus>(), Numbers<JobEnding>(), Numbers<JobDeviceStatus>()));

    private static string Numbers<T>()
        where T : struct, Enum =>
        string.Join(' ', Enum.GetValues<T>().Select(value => $"{value}={Convert.ToInt64(value)}"));
}
