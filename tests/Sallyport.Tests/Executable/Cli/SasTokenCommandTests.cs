using System.Net;
using System.Net.Http.Headers;

namespace Sallyport.Tests.Executable.Cli;

public sealed class SasTokenCommandTests(CliHub hub) : IClassFixture<CliHub>
{
    [Fact]
    public async Task Token_OfADevice_LetsItIn()
    {
        await hub.JsonAsync("device-identity", "create", "-d", "sender");

        var token = (string)(await hub.JsonAsync("generate-sas-token", "-d", "sender", "--key-type", "secondary"))["sas"]!;

        Assert.Equal(HttpStatusCode.NoContent, await SendAsync(token, HttpMethod.Post, "devices/sender/messages/events"));
        Assert.Equal(HttpStatusCode.Unauthorized, await SendAsync(token, HttpMethod.Get, "devices/sender"));
    }

    [Fact]
    public async Task Token_OfAModule_NamesIt()
    {
        await hub.JsonAsync("device-identity", "create", "-d", "host");
        await hub.JsonAsync("module-identity", "create", "-d", "host", "-m", "m1");

        var token = await hub.RunAsync("generate-sas-token", "-d", "host", "-m", "m1", "-o", "tsv");

        Assert.StartsWith("SharedAccessSignature sr=localhost%2Fdevices%2Fhost%2Fmodules%2Fm1&sig=", token.Out);
    }

    [Theory]
    [InlineData("--policy-name", "registryRead")]
    [InlineData("--duration", "60")]
    public async Task Token_OfAPolicy_LetsItsUsersIn(string flag, string value)
    {
        await hub.RunAsync("device-identity", "create", "-d", "read");

        var token = (string)(await hub.JsonAsync("generate-sas-token", flag, value))["sas"]!;

        Assert.Equal(HttpStatusCode.OK, await SendAsync(token, HttpMethod.Get, "devices/read"));
    }

    [Theory]
    [InlineData("--module-id needs --device-id.", "-m", "m1")]
    [InlineData("Give one of --device-id and --policy-name.", "-d", "d1", "--pn", "service")]
    [InlineData("--duration is a number from 1 to", "--du", "-1")]
    public async Task Token_WronglyAskedFor_NamesTheFlag(string expected, params string[] arguments)
    {
        var result = await hub.RunAsync(["generate-sas-token", .. arguments]);

        Assert.Equal(2, result.Exit);
        Assert.Contains(expected, result.Error);
    }

    [Fact]
    public async Task Token_OfADeviceThatIsNot_Fails() =>
        Assert.Contains("(DeviceNotFound)", (await hub.RunAsync("generate-sas-token", "-d", "nobody")).Error);

    private async Task<HttpStatusCode> SendAsync(string token, HttpMethod method, string path)
    {
        using var handler = new HttpClientHandler { ServerCertificateCustomValidationCallback = (_, _, _, _) => true };
        using var client = new HttpClient(handler);
        using var request = new HttpRequestMessage(method, $"https://localhost:{hub.Hub.Endpoints.HttpsPort}/{path}?api-version=2021-04-12");
        request.Headers.TryAddWithoutValidation("Authorization", token);
        if (method == HttpMethod.Post)
            request.Content = new StringContent("{}", new MediaTypeHeaderValue("application/json"));
        using var response = await client.SendAsync(request, TestContext.Current.CancellationToken);
        return response.StatusCode;
    }
}
