using Sallyport.Hub.Access;

namespace Sallyport.Tests.Hub.Access;

public sealed class RightsTests
{
    [Fact]
    public void Rights_AreStored_AndKeepTheirNumbers()
    {
        string[] frozen =
        [
            "DeviceConnect", "TelemetryRead", "CommandSend", "MethodInvoke", "TwinRead", "TwinWrite", "RegistryRead", "RegistrySecrets",
            "RegistryWrite", "JobManage", "ConfigurationManage", "ConnectionManage", "RouteManage", "AccessManage", "AuditRead", "LakeRead", "ThreatRun",
            "FileRead", "FileDelete",
        ];

        Assert.Equal(frozen, Enumerable.Range(0, frozen.Length).Select(bit => ((Rights)(1L << bit)).ToString()));
        Assert.Equal(frozen.Length, Enum.GetValues<Rights>().Count(right => right is not Rights.None));
        Assert.Equal(AzureRights.All, Enum.GetValues<Rights>().Aggregate((all, right) => all | right));
    }

    [Theory]
    [InlineData(Rights.None, "")]
    [InlineData(AzureRights.RegistryRead, "RegistryRead")]
    [InlineData(AzureRights.RegistryWrite, "RegistryRead, RegistryWrite")]
    [InlineData(AzureRights.ServiceConnect, "ServiceConnect")]
    [InlineData(Rights.DeviceConnect, "DeviceConnect")]
    [InlineData(Rights.RegistryRead, "registry-read")]
    [InlineData(AzureRights.DeviceConnect | Rights.TelemetryRead, "DeviceConnect, telemetry-read")]
    [InlineData(AzureRights.All, "RegistryRead, RegistryWrite, ServiceConnect, DeviceConnect, connection-manage, route-manage, access-manage, audit-read, lake-read, threat-run, file-read, file-delete")]
    public void Format_ThenParse_IsTheSame(Rights rights, string text)
    {
        Assert.Equal(text, RightsText.Format(rights));
        if (rights is Rights.None)
            return;

        Assert.True(RightsText.TryParse(text, out var parsed, out _));
        Assert.Equal(rights, parsed);
    }

    [Fact]
    public void Format_AnySetOfRights_IsReadBack()
    {
        var random = new Random(7);
        for (var run = 0; run < 2000; run++)
        {
            var rights = (Rights)random.NextInt64(1, (long)AzureRights.All + 1);
            Assert.True(RightsText.TryParse(RightsText.Format(rights), out var parsed, out _));
            Assert.Equal(rights, parsed);
        }
    }

    [Theory]
    [InlineData("RegistryRead,ServiceConnect", AzureRights.RegistryRead | AzureRights.ServiceConnect)]
    [InlineData(" registry-read ,  twin-read", Rights.RegistryRead | Rights.TwinRead)]
    public void TryParse_NamesInAnyOrder(string text, Rights expected)
    {
        Assert.True(RightsText.TryParse(text, out var rights, out _));
        Assert.Equal(expected, rights);
    }

    [Theory]
    [InlineData("")]
    [InlineData(",")]
    [InlineData("RegistryRead,")]
    [InlineData("Everything")]
    [InlineData("none")]
    [InlineData("REGISTRY-READ")]
    [InlineData("1")]
    public void TryParse_UnknownName_SaysWhatIsKnown(string text)
    {
        Assert.False(RightsText.TryParse(text, out _, out var problem));
        Assert.Contains("registry-secrets", problem, StringComparison.Ordinal);
    }
}
