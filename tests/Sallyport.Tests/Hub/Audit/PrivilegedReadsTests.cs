using Microsoft.Extensions.Time.Testing;
using Sallyport.Hub.Access;
using Sallyport.Hub.Audit;
using Sallyport.Protocol.Errors;

namespace Sallyport.Tests.Hub.Audit;

public sealed class PrivilegedReadsTests
{
    private readonly FakeTimeProvider _time = new();
    private readonly AuditList _trail = new();
    private readonly PrivilegedReads _reads;
    private readonly Actor _actor = new("policy:iothubowner", "9f86d081884c7d65", AzureRights.All, "c-1", "192.0.2.7:1");

    public PrivilegedReadsTests() => _reads = new PrivilegedReads(_trail, _time);

    [Fact]
    public async Task Record_TheSameReadWithinAMinute_IsDurableOnceAndThenCounted()
    {
        for (var read = 0; read < 3; read++)
            await _reads.RecordAsync(_actor, "device read-keys", "d1", default);
        _time.Advance(TimeSpan.FromMinutes(1));
        await _reads.RecordAsync(_actor, "device read-keys", "d1", default);

        // What has no correlation id is counted together by the trail.
        Assert.Equal(["c-1", "", "", "c-1"], _trail.Entries.Select(entry => entry.CorrelationId));
    }

    [Fact]
    public async Task Record_AnotherTargetOrCredential_IsAReadOfItsOwn()
    {
        await _reads.RecordAsync(_actor, "device read-keys", "d1", default);
        await _reads.RecordAsync(_actor, "device read-keys", "d2", default);
        await _reads.RecordAsync(_actor with { CredentialFingerprint = "0000000000000000" }, "device read-keys", "d1", default);

        Assert.All(_trail.Entries, entry => Assert.Equal("c-1", entry.CorrelationId));
    }

    [Fact]
    public async Task Record_ThatIsNotDurable_RefusesTheRead_AlsoTheNextOne()
    {
        _trail.IsBroken = true;

        for (var read = 0; read < 2; read++)
        {
            var refusal = await Assert.ThrowsAsync<HubException>(async () => await _reads.RecordAsync(_actor, "device read-keys", "d1", default));
            Assert.Equal(HubErrors.ServiceUnavailable, refusal.Error);
        }
    }

    [Fact]
    public async Task Read_ThatIsRefused_IsNotedWithItsReason_AndNotAsDone()
    {
        await Assert.ThrowsAsync<HubException>(async () => await _reads.ReadAsync<string>(
            _actor, "device read-keys", "d1", () => throw new HubException(HubErrors.DeviceNotFound, "there is no such device"), default));

        Assert.Equal(("refused", "there is no such device", ""), _trail.Entries.Select(entry => (entry.Result, entry.Reason, entry.CorrelationId)).Single());
    }

    [Fact]
    public async Task Record_BeyondTheKinds_IsEachByItself()
    {
        for (var device = 0; device < PrivilegedReads.MaxKinds; device++)
            await _reads.RecordAsync(_actor, "device read-keys", $"d{device}", default);
        for (var read = 0; read < 2; read++)
            await _reads.RecordAsync(_actor, "device read-keys", "one more", default);

        Assert.All(_trail.Entries, entry => Assert.Equal("c-1", entry.CorrelationId));
        Assert.Equal(PrivilegedReads.MaxKinds + 2, _trail.Entries.Count);
    }
}
