namespace Sallyport.Tests.Executable.Cli;

public sealed class MethodCommandsTests(CliHub hub) : IClassFixture<CliHub>
{
    [Fact]
    public async Task Invoke_OfADeviceThatIsNotThere_Fails_AndSaysSo()
    {
        await hub.JsonAsync("device-identity", "create", "-d", "method-offline");

        var result = await hub.RunAsync("invoke-device-method", "-d", "method-offline", "--method-name", "reboot");

        Assert.Equal((1, ""), (result.Exit, result.Out));
        Assert.Contains("The device method-offline is not connected, or does not take methods", result.Error, StringComparison.Ordinal);
        Assert.Contains("wait longer with --connect-timeout", result.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("on")]
    [InlineData("{")]
    public async Task Invoke_WithAPayloadThatIsNoJson_IsWrongUsage(string payload)
    {
        var result = await hub.RunAsync("invoke-device-method", "-d", "d1", "--method-name", "reboot", "--method-payload", payload);

        Assert.Equal(2, result.Exit);
        Assert.StartsWith("--method-payload is not JSON", result.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("--timeout", "4")]
    [InlineData("--connect-timeout", "301")]
    public async Task Invoke_WithATimeoutOutOfBounds_IsWrongUsage(string flag, string seconds) =>
        Assert.Equal(2, (await hub.RunAsync("invoke-module-method", "-d", "d1", "-m", "m1", "--method-name", "x", flag, seconds)).Exit);
}
