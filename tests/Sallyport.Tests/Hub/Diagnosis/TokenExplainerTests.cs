using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Sallyport.Hub.Access;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Diagnosis;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Sas;
using Sallyport.Tests.Hub.Access;

namespace Sallyport.Tests.Hub.Diagnosis;

public sealed class TokenExplainerTests(AccessFixture hub) : IClassFixture<AccessFixture>
{
    private static readonly Identity Device = Identity.Of("d1");
    private static readonly Identity Module = Identity.Of("d1", "m1");

    [Theory]
    [InlineData("primary")]
    [InlineData("secondary")]
    public void Explain_OfAGoodToken_SaysWhoseAndWhichKey(string which)
    {
        var explanation = Explain(hub.Token(Device, which: which));

        Assert.Equal(("Good.", "d1", which, "devices/d1", true, false), (explanation.Verdict, explanation.Subject, explanation.SignedWith, explanation.Resource, explanation.IsThisHub, explanation.IsRevoked));
        Assert.Equal((hub.Time.GetUtcNow().AddHours(1), hub.Time.GetUtcNow().AddMinutes(65), 3600), (explanation.Expires, explanation.AcceptedUntil, explanation.SecondsLeft));
        Assert.Equal(new TokenVerdict("connect as d1", true, ""), Assert.Single(explanation.Opens));
    }

    [Fact]
    public void Explain_OfAnEventHubsToken_SaysHowTheKeyWasRead()
    {
        var good = Explain(hub.EventHubsToken("service"));
        var decoded = Explain(hub.EventHubsToken("service", asText: false));
        var other = Explain(hub.EventHubsToken("registryRead"));

        Assert.Equal(("Good.", "policy service", "primary", "text", "hub"), (good.Verdict, good.Subject, good.SignedWith, good.KeyRead, good.Resource));
        Assert.Equal("telemetry-read under hub", Assert.Single(good.Opens).What);
        Assert.Equal(("neither", null, "with the decoded right key: Event Hubs clients sign with its text; or leave the scheme out of sr"), (decoded.SignedWith, decoded.KeyRead, decoded.SignedInstead));
        Assert.Equal("Refused: the policy registryRead does not hold telemetry-read.", other.Verdict);
        Assert.Equal("decoded", Explain(hub.PolicyToken("service")).KeyRead);
        Assert.Equal("decoded", Explain(hub.Token(Device)).KeyRead);
    }

    [Fact]
    public async Task Explain_OfAPolicyThatIsLimited_SaysThatItOpensNotAllDevices()
    {
        await hub.Policies.CreateAsync(
            new Actor("policy:iothubowner", "", AzureRights.All, "", "local"), "berlin", Rights.RegistryRead, ScopeTests.Of(hub.Tags, "site=berlin"), null, null, CancellationToken.None);

        Assert.Equal("registry-read, for the devices that it is limited to alone", Assert.Single(Explain(hub.PolicyToken("berlin")).Opens).What);
    }

    [Fact]
    public void Explain_OfAnyToken_HoldsNoKeyAndNoUsableToken()
    {
        foreach (var token in new[] { hub.Token(Device), hub.PolicyToken("iothubowner"), hub.Token(Module, AccessFixture.ResourceOf(Device)) })
        {
            var text = JsonSerializer.Serialize(Explain(token));

            var signature = token.Split("sig=")[1].Split('&')[0];
            Assert.DoesNotContain(signature, text);
            Assert.DoesNotContain(Uri.UnescapeDataString(signature), text);
            Assert.DoesNotContain(AccessFixture.KeyOf(Device), text);
            Assert.DoesNotContain(hub.Policies.List().Single(policy => policy.Name == "iothubowner").PrimaryKey, text);
        }
    }

    [Theory]
    [InlineData("SharedAccessSignature sr=hub.test&sr=x", "Refused everywhere: the token has a field twice, at character 35.", 35)]
    [InlineData("Bearer x", "Refused everywhere: the token does not start with 'SharedAccessSignature ', at character 1.", 1)]
    [InlineData("SharedAccessSignature sr=hub.test&sig=a b", "Refused everywhere: the token has a character that is not printable ASCII, at character 40.", 40)]
    [InlineData("SharedAccessSignature sr=hub.test&sig=abc&se=17x", "Refused everywhere: se is not a number of Unix seconds before the year 10000, at character 46.", 46)]
    public void Explain_OfAMalformedToken_SaysWhatAndWhere(string token, string verdict, int at)
    {
        var explanation = Explain(token);

        Assert.Equal((verdict, at), (explanation.Verdict, explanation.ProblemAt));
        Assert.Empty(explanation.Opens);
    }

    [Fact]
    public void Explain_OfAnotherKey_FindsWhose()
    {
        var byPolicy = SharedAccessSignature.Create(AccessFixture.ResourceOf(Device), hub.Policies.List().Single(policy => policy.Name == "device").SecondaryKey, hub.Time.GetUtcNow().AddHours(1));
        var text = Encoding.ASCII.GetBytes(AccessFixture.KeyOf(Device));
        var notDecoded = SharedAccessSignature.Create(AccessFixture.ResourceOf(Device), Convert.ToBase64String(text), hub.Time.GetUtcNow().AddHours(1));

        Assert.Equal(("neither", "with the primary key of d1/m1: that key opens d1/m1 alone"), Signed(Explain(hub.Token(Module, AccessFixture.ResourceOf(Device)))));
        Assert.Equal(("neither", "with the secondary key of policy device: say skn=device"), Signed(Explain(byPolicy)));
        Assert.Equal(("neither", "with the text of the right key: decode the base64 before signing"), Signed(Explain(notDecoded)));
        Assert.Equal(("neither", null), Signed(Explain(SharedAccessSignature.Create(
            AccessFixture.ResourceOf(Device), Convert.ToBase64String(RandomNumberGenerator.GetBytes(32)), hub.Time.GetUtcNow().AddHours(1)))));
        Assert.Equal("Refused: the token was signed with neither the primary nor the secondary key.", Explain(notDecoded).Verdict);

        static (string?, string?) Signed(TokenExplanation explanation) => (explanation.SignedWith, explanation.SignedInstead);
    }

    [Fact]
    public void Explain_OfAPolicysToken_SaysWhichRightsItOpensAndWhere()
    {
        var explanation = Explain(hub.PolicyToken("registryRead", $"{AccessFixture.Host}/devices/d1"));

        Assert.Equal(("policy registryRead", "primary", "Good."), (explanation.Subject, explanation.SignedWith, explanation.Verdict));
        Assert.Equal(["registry-read under devices/d1", "registry-secrets under devices/d1"], explanation.Opens.Select(open => open.What));
    }

    [Fact]
    public async Task Explain_OfARefusedToken_SaysTheTrueReason()
    {
        var revoked = hub.Token(Device, life: TimeSpan.FromMinutes(33));
        await hub.Revocation.RevokeAsync(new Actor("test", "", AzureRights.All, "", "local"), revoked, CancellationToken.None);

        Assert.Equal("Refused: the token was revoked (token revoke).", Explain(revoked).Verdict);
        Assert.True(Explain(revoked).IsRevoked);
        Assert.StartsWith("Refused: the token expired at", Explain(hub.Token(Device, life: TimeSpan.FromHours(-1))).Verdict);
        Assert.Equal("Refused: the token was made for another host (--host).", Explain(hub.Token(Device, "other.test/devices/d1")).Verdict);
        Assert.Equal("Refused: there is no ghost.", Explain(hub.Token(Identity.Of("ghost"))).Verdict);
        Assert.Equal("Refused: its sr names no device or module, and it names no policy (skn).", Explain(hub.Token(Device, AccessFixture.Host)).Verdict);
    }

    private TokenExplanation Explain(string token) =>
        new TokenExplainer(hub.Tokens, hub.Metadata, hub.Identities, hub.Policies, hub.Revoked, hub.Time).Explain(token);
}
