using Sallyport.Storage.Metadata;

namespace Sallyport.Tests.Storage.Metadata;

public sealed class MetadataVerificationTests : IAsyncLifetime
{
    private readonly SqliteFixture _fixture = new();
    private SqliteMetadata _metadata = null!;

    public async ValueTask InitializeAsync()
    {
        _metadata = await _fixture.OpenAsync();
        await _metadata.WriteAsync(tx =>
        {
            _metadata.Identities.Put(tx, new() { DeviceId = "d1", GenerationId = "g", ETag = 1, PrimaryKey = "cA==", SecondaryKey = "cw==" });
            _metadata.Identities.Put(tx, new() { DeviceId = "d1", ModuleId = "m1", GenerationId = "g", ETag = 1, PrimaryKey = "cA==" });
            _metadata.Policies.Put(tx, new("service", 1, "cA==", "cw==", 1, DateTimeOffset.UnixEpoch));
            _metadata.Connections.Put(tx, new("c", "sql", "{}", "secret", false, "o", 1, 1, DateTimeOffset.UnixEpoch));
            return true;
        });
    }

    public async ValueTask DisposeAsync()
    {
        await _metadata.DisposeAsync();
        _fixture.Dispose();
    }

    [Fact]
    public void Verify_AllIsWell_FindsNothing() => Assert.Empty(Verify());

    [Theory]
    [InlineData("UPDATE identity SET secondary_key = primary_key WHERE module_id = ''", "'secondary_key' of 'd1' in table 'identity'")]
    [InlineData("UPDATE identity SET generation_id = 'other' WHERE module_id = 'm1'", "'primary_key' of 'd1/m1' in table 'identity'")]
    [InlineData("UPDATE policy SET generation = 2", "'primary_key' of 'service' in table 'policy'")]
    [InlineData("UPDATE connection SET secret = zeroblob(40)", "'secret' of 'c' in table 'connection'")]
    [InlineData("UPDATE device_count SET devices = 5 WHERE enabled = 1", "There are 1 enabled devices, and the kept count says 5.")]
    public async Task Verify_SomethingWasChanged_NamesIt(string change, string finding)
    {
        await _metadata.WriteAsync(tx => SqliteSession.Of(tx)[change].Execute());

        Assert.Contains(finding, Assert.Single(Verify()), StringComparison.Ordinal);
    }

    private IReadOnlyList<string> Verify() => MetadataVerification.Verify(_metadata, TestContext.Current.CancellationToken);
}
