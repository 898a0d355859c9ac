using Sallyport.Hub.Access;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Sas;

namespace Sallyport.Tests.Hub.Access;

/// <summary>Runs while nothing else does: the runtime optimizes no code as long as others bring it new code.</summary>
[CollectionDefinition(nameof(TokenCheckTests), DisableParallelization = true)]
[Collection(nameof(TokenCheckTests))]
public sealed class TokenCheckTests(AccessFixture hub) : IClassFixture<AccessFixture>
{
    [Theory]
    [InlineData("device")]
    [InlineData("policy")]
    [InlineData("event hubs")]
    public async Task Verification_OfAGoodToken_AllocatesNothing(string whose)
    {
        // The fake clock allocates.
        var tokens = new TokenCheck(new HubNames([AccessFixture.Host]), hub.Revoked, new TokenOptions(TimeSpan.FromDays(1)), TimeProvider.System);
        var device = Identity.Of("d1");
        var expires = DateTimeOffset.UtcNow.AddHours(1);
        var ofPolicy = whose != "device";
        var text = whose == "event hubs" ? hub.EventHubsToken("device", $"sb://{AccessFixture.Host}/DEVICES", life: expires - hub.Time.GetUtcNow())
            : ofPolicy
            ? SharedAccessSignature.Create(AccessFixture.Host, hub.Policies.List().Single(policy => policy.Name == "device").PrimaryKey, expires, "device")
            : SharedAccessSignature.Create(AccessFixture.ResourceOf(device), AccessFixture.KeyOf(device, "secondary"), expires);
        var keys = hub.Identities.Find(device)!.Keys;
        await hub.Revocation.RevokeAsync(
            new("test", "", AzureRights.All, "", "local"), hub.Token(device, life: TimeSpan.FromMinutes(7)), CancellationToken.None); // So that the table is looked at.

        // Code that is not optimized yet boxes; it is after some hundred thousand calls at the latest.
        var bytes = Allocated();
        for (var round = 0; round < 1000 && bytes > 0; round++)
            bytes = Allocated();

        Assert.Equal(0, bytes);

        long Allocated()
        {
            var before = GC.GetAllocatedBytesForCurrentThread();
            for (var i = 0; i < 1000; i++)
            {
                var refusal = tokens.Read(text, AccessFixture.Host, out var token)
                    ?? tokens.Verify(token!.Value, ofPolicy ? hub.Policies.FindCredentials(token.Value)?.Keys : keys, "unknown", "devices/d1");
                if (refusal is not null)
                    throw new InvalidOperationException(refusal.Reason);
            }

            return GC.GetAllocatedBytesForCurrentThread() - before;
        }
    }
}
