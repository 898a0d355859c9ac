using Sallyport.Hub.Access;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Sas;

namespace Sallyport.Tests.Hub.Access;

public sealed class ServiceAuthenticatorTests : IAsyncLifetime
{
    private readonly AccessFixture _hub = new();

    public ValueTask InitializeAsync() => _hub.InitializeAsync();

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    // The matrix in words, not computed from the product's own sets.
    private static readonly Dictionary<string, string> Held = new()
    {
        ["service"] = "TelemetryRead CommandSend MethodInvoke TwinRead TwinWrite JobManage ConfigurationManage",
        ["device"] = "DeviceConnect",
        ["registryRead"] = "RegistryRead RegistrySecrets",
        ["registryReadWrite"] = "RegistryRead RegistrySecrets RegistryWrite",
        ["iothubowner"] = string.Join(' ', Enum.GetNames<Rights>()),
    };

    [Theory]
    [InlineData("service")]
    [InlineData("device")]
    [InlineData("registryRead")]
    [InlineData("registryReadWrite")]
    [InlineData("iothubowner")]
    public async Task Policy_MayDoWhatItHolds_AndNothingElse(string policy)
    {
        var held = Held[policy].Split(' ');
        foreach (var right in Enum.GetValues<Rights>().Where(right => right is not Rights.None))
        {
            var admission = await _hub.CallAsync(_hub.PolicyToken(policy), needed: right);

            Assert.Equal((right, held.Contains(right.ToString())), (right, admission.IsAdmitted));
            Assert.Equal(admission.IsAdmitted ? null : HubErrors.UnauthorizedAccess, admission.Error);
        }
    }

    [Fact]
    public async Task Policy_NeedsEveryRight()
    {
        var admission = await _hub.CallAsync(_hub.PolicyToken("registryRead"), needed: Rights.RegistryRead | Rights.RegistryWrite | Rights.AccessManage);

        Assert.Equal("the policy registryRead does not hold registry-write, access-manage", admission.Reason);
    }

    [Fact]
    public async Task Policy_Admitted_IsThePrincipalWithAllItsRights()
    {
        var principal = (await _hub.CallAsync(_hub.PolicyToken("service"), needed: Rights.TwinRead)).Principal!;

        Assert.Equal((PrincipalKind.Policy, "service", AzureRights.ServiceConnect), (principal.Kind, principal.Name, principal.Rights));
        Assert.Equal(_hub.Time.GetUtcNow().AddMinutes(65), principal.Expires);
    }

    [Theory]
    [InlineData("hub.test", "devices/d1", true)]
    [InlineData("hub.test/devices", "devices/d1", true)]
    [InlineData("hub.test/devices/d1", "devices/d1", true)]
    [InlineData("hub.test/devices/d1", "devices", false)]
    [InlineData("hub.test/devices/d1", "devices/d2", false)]
    [InlineData("hub.test/devices", "statistics/devices", false)]
    [InlineData("hub.test/devices", "", false)]
    public async Task Token_ForAPart_OpensThatPart(string sr, string resource, bool admitted)
    {
        var admission = await _hub.CallAsync(_hub.PolicyToken("registryRead", sr), resource);

        Assert.Equal(admitted, admission.IsAdmitted);
        Assert.Equal(admitted ? null : HubErrors.Unauthorized, admission.Error);
    }

    [Theory]
    [InlineData("sb://hub.test/hub/ConsumerGroups/$Default/Partitions/0", "primary")] // Node
    [InlineData("sb://hub.test/hub", "secondary")] // Python, az
    [InlineData("amqps://alias.test:5671/hub/", "primary")] // .NET
    [InlineData("amqp://hub.test/hub", "primary")] // Java
    public async Task EventHubsToken_OfTheKeysText_ReadsTelemetryAndNothingElse(string sr, string which)
    {
        const string partition = "hub/consumergroups/$default/partitions/0";
        var token = _hub.EventHubsToken("iothubowner", sr, which: which);

        Assert.Equal(Rights.TelemetryRead, (await _hub.CallAsync(token, partition, Rights.TelemetryRead)).Principal?.Rights);
        Assert.True((await _hub.CallAsync(token, partition, Rights.None)).IsAdmitted);
        Assert.Equal(HubErrors.UnauthorizedAccess, (await _hub.CallAsync(token, partition, Rights.TelemetryRead | Rights.CommandSend)).Error);
        Assert.Equal(HubErrors.Unauthorized, (await _hub.CallAsync(token, "devices/d1", Rights.TelemetryRead)).Error);
    }

    [Fact]
    public async Task EventHubsToken_IsReadInOneWayOnly()
    {
        Assert.Equal(HubErrors.Unauthorized, (await _hub.CallAsync(_hub.EventHubsToken("service", asText: false), "hub", Rights.TelemetryRead)).Error);
        Assert.Equal(HubErrors.Unauthorized, (await _hub.CallAsync(_hub.EventHubsToken("service", "hub.test"), "hub", Rights.TelemetryRead)).Error);
        Assert.True((await _hub.CallAsync(_hub.PolicyToken("service", "hub.test"), "hub", Rights.TelemetryRead)).IsAdmitted);
    }

    [Fact]
    public async Task EventHubsToken_OfAPolicyThatMayNotRead_IsRefused() =>
        Assert.Equal("the policy registryRead does not hold telemetry-read", (await _hub.CallAsync(_hub.EventHubsToken("registryRead"), "hub", Rights.TelemetryRead)).Reason);

    [Fact]
    public async Task EventHubsToken_WideAsItMayBe_NeverChangesARegistry() =>
        Assert.Equal(HubErrors.UnauthorizedAccess, (await _hub.CallAsync(_hub.EventHubsToken("iothubowner", "https://hub.test/DEVICES/D1"), "devices/d1")).Error);

    [Fact]
    public async Task Token_OfADevice_IsRefused()
    {
        var d1 = Identity.Of("d1");

        Assert.Equal(HubErrors.Unauthorized, (await _hub.CallAsync(_hub.Token(d1), "devices/d1")).Error);
        var claims = SharedAccessSignature.Create("hub.test", AccessFixture.KeyOf(d1), _hub.Time.GetUtcNow().AddHours(1), "iothubowner");
        Assert.Equal(HubErrors.Unauthorized, (await _hub.CallAsync(claims, "devices/d1")).Error);
    }

    [Fact]
    public async Task Token_MissingExpiredOrForAnotherHost_IsRefused()
    {
        Assert.Equal("there is no Authorization header", (await _hub.CallAsync(null)).Reason);
        Assert.Equal(HubErrors.Unauthorized, (await _hub.CallAsync("Bearer x")).Error);
        Assert.Equal(HubErrors.Unauthorized, (await _hub.CallAsync(_hub.PolicyToken("iothubowner", life: -TimeSpan.FromMinutes(5.02)))).Error);
        Assert.Equal(HubErrors.IotHubNotFound, (await _hub.CallAsync(_hub.PolicyToken("iothubowner", "other.test"))).Error);
        Assert.Equal(HubErrors.IotHubNotFound, (await _hub.CallAsync(_hub.PolicyToken("iothubowner"), host: "other.test")).Error);
        Assert.Equal(5, _hub.Audit.Entries.Count(entry => entry.Action == "authentication"));
    }
}
