using System.Text.RegularExpressions;
using Sallyport.Settings;
using Sallyport.Up;

namespace Sallyport.Tests.Executable.Settings;

public sealed class InsecureSwitchTests
{
    private static readonly DateTimeOffset Now = new(2026, 11, 24, 23, 0, 0, TimeSpan.Zero);

    [Fact]
    public void Switches_AreNamedAndListed_AndAtMostTen()
    {
        var named = AllSettings.Table.Where(setting => setting.Name.StartsWith("Insecure", StringComparison.Ordinal)).ToList();
        var page = SourceTree.Read("docs/insecure-switches.md");

        Assert.InRange(named.Count, 1, 10);
        Assert.All(AllSettings.Table, setting => Assert.Equal(setting.Name.StartsWith("Insecure", StringComparison.Ordinal), setting.Loosens is not null));
        Assert.Equal(named.Select(setting => setting.Key).Order(), Regex.Matches(page, @"\| `(\w+:Insecure\w+)` \|").Select(match => match.Groups[1].Value).Order());
    }

    [Theory]
    [InlineData("false", null)]
    [InlineData("true", "true")]
    [InlineData(" alice ;old fleet; 2027-03-31", "alice; old fleet; 2027-03-31")]
    public void Switch_Readable_IsShownAsItIsWritten(string text, string? expected)
    {
        Assert.True(InsecureSwitch.TryParse(text, out var on));
        Assert.Equal(expected, on?.ToString());
    }

    [Theory]
    [InlineData("true")]
    [InlineData("alice; old fleet; 2027-03-31")]
    public void Production_InjectsNoFaults_WhoeverAnswersForIt(string text)
    {
        Assert.True(InsecureSwitch.TryParse(text, out var on));
        var settings = new HubSettings
        {
            Hub = new HostSettings { Data = "/nonexistent", KeyFile = "k", Hosts = ["hub.example.org"] },
            Listeners = new ListenerSettings { InsecureFaultInjection = on },
            Tls = new TlsSettings { CertificateFile = "c" },
        };

        var refused = Assert.Throws<CannotStartException>(() => Production.Check(settings, _ => null, Now));

        Assert.Equal("--production injects no faults, whoever answers for it: leave --enable-insecure-fault-injection out.", refused.Message);
    }

    [Theory]
    [InlineData(null, null, true)]
    [InlineData("127.0.0.1", "127.0.0.2", true)]
    [InlineData("::1", null, true)]
    [InlineData("0.0.0.0", null, false)]
    [InlineData("192.0.2.1", null, false)]
    [InlineData(null, "192.0.2.1", false)]
    public void FaultInjection_IsForLoopbackAlone(string? bind, string? serviceBind, bool isTaken)
    {
        var settings = new ListenerSettings { Bind = bind, ServiceBind = serviceBind, InsecureFaultInjection = new InsecureSwitch("", "", null) };

        Assert.Equal(isTaken, !settings.Validate().Any());
        Assert.Empty((settings with { InsecureFaultInjection = null }).Validate());
    }

    [Theory]
    [InlineData("")]
    [InlineData("yes")]
    [InlineData("alice; old fleet")]
    [InlineData("alice; ; 2027-03-31")]
    [InlineData("alice; old fleet; 31.3.2027")]
    public void Switch_Unreadable_IsRefused(string text) => Assert.False(InsecureSwitch.TryParse(text, out _));

    [Theory]
    [InlineData("true", "it names no owner, reason and last day")]
    [InlineData("alice; old fleet; 2026-11-23", "its last day was 2026-11-23")]
    [InlineData("alice; old fleet; 2026-11-24", null)]
    public void Production_WithASwitch_NeedsAllThreeAndTime(string text, string? objection)
    {
        Assert.True(InsecureSwitch.TryParse(text, out var on));
        var safe = new HubSettings
        {
            Hub = new HostSettings { Data = "/nonexistent", KeyFile = "k", Hosts = ["hub.example.org"] },
            Tls = new TlsSettings { CertificateFile = "c" },
        };

        Assert.All(AllSettings.Table.Where(setting => setting.Loosens is not null && setting.Name != "InsecureFaultInjection"), setting =>
        {
            var settings = setting.Apply(safe, new SettingValue([text], "test", "/"));
            Assert.Equal(on, Assert.Single(AllSettings.Insecure(settings)).Switch);

            var refused = Record.Exception(() => Production.Check(settings, _ => null, Now));

            Assert.Equal(objection is not null, refused is CannotStartException);
            Assert.Contains(objection is null ? "" : $"{setting.Key} as it is, because {objection}", refused?.Message ?? "");
        });
    }
}
