using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Text;
using Sallyport.Tests.Executable.Cli;

namespace Sallyport.Tests.Executable.Bounds;

/// <summary>
/// Bodies of every service route that are no JSON, or JSON that is not meant well: no fault of the hub's, no connection lost, and errors as IoT Hub writes them. Each route
/// that somebody maps is tried. <c>SALLYPORT_FUZZ_RUNS</c> sets how many requests are made up: a tenth of it, because each goes over a socket.
/// </summary>
public sealed class HostileBodiesTests(CliHub hub) : IClassFixture<CliHub>
{
    private static readonly int Runs = int.TryParse(Environment.GetEnvironmentVariable("SALLYPORT_FUZZ_RUNS"), CultureInfo.InvariantCulture, out var runs) ? runs / 10 : 1500;

    private static readonly string[] Names = ["d1", "d2", "m1", "nobody", "fuzz", "$Default", "0", "1", "-1", "a b", "%2F", "'", "\"", "…", ".", "x".PadRight(129, 'x')];

    private static readonly Dictionary<string, byte[]> NoJson = new(StringComparer.Ordinal)
    {
        ["nothing"] = [],
        ["half an object"] = "{\"a\":"u8.ToArray(),
        ["half a surrogate"] = "{\"a\":\"\\ud800\",\"\\udc00\":1}"u8.ToArray(),
        ["200 levels"] = Encoding.ASCII.GetBytes(string.Concat(Enumerable.Repeat("{\"a\":", 200)) + "1" + new string('}', 200)),
        ["100,000 levels"] = Encoding.ASCII.GetBytes(new string('[', 100_000)),
        ["two values"] = "{} {}"u8.ToArray(),
        ["a comment"] = "{/* */}"u8.ToArray(),
        ["a trailing comma"] = "{\"a\":1,}"u8.ToArray(),
        ["a control character"] = "{\"a\":\"\u0001\"}"u8.ToArray(),
    };

    private static readonly Dictionary<string, byte[]> NotMeantWell = new(StringComparer.Ordinal)
    {
        ["a number beyond all"] = "1e99999"u8.ToArray(),
        ["a number"] = "1"u8.ToArray(),
        ["a text"] = "\"x\""u8.ToArray(),
        ["null"] = "null"u8.ToArray(),
        ["an array of nulls"] = "[null,null]"u8.ToArray(),
        ["an object"] = "{}"u8.ToArray(),
        ["NULs"] = "\0\0\0\0"u8.ToArray(),
        ["UTF-16"] = Encoding.Unicode.GetBytes("{\"a\":1}"),
    };

    [Fact]
    public async Task EveryRoute_GivenWhatIsNoJson_RefusesItOrDoesNotReadIt()
    {
        using var routes = await OpenAsync();
        var wrong = new List<string>();
        foreach (var route in routes.All.Where(route => route.Method is not "GET"))
        {
            foreach (var (what, body) in NoJson.Concat(NotMeantWell).Append(new("invalid UTF-8", WithoutUtf8(ServiceRoutes.BodyOf(route)))))
            {
                var (status, error) = await TryAsync(wrong, routes, route, body);
                if (ServiceRoutes.ReadsJson(route) && !NotMeantWell.ContainsKey(what) && !IsRefused(what, status, error))
                    wrong.Add($"{route.Method} {route.Pattern} with {what}: {(int)status} {error}");
            }

            foreach (var body in HostileJson.Replaced(ServiceRoutes.BodyOf(route), "\"\\ud800\""))
                await TryAsync(wrong, routes, route, body);

            foreach (var contentType in (string[])["application/json; charset=utf-16", "text/plain", "application/vnd.microsoft.iothub.json", "x"])
                await TryAsync(wrong, routes, route, Encoding.UTF8.GetBytes(ServiceRoutes.BodyOf(route)), contentType);
        }

        Assert.True(wrong.Count == 0, string.Join('\n', wrong.Take(20)));
    }

    [Fact]
    public async Task EveryRoute_GivenWhatIsMadeUp_AnswersInForm()
    {
        var wrong = new ConcurrentQueue<string>();
        using var routes = await OpenAsync();
        var all = routes.All;
        await Parallel.ForAsync(0, Runs, new ParallelOptions { MaxDegreeOfParallelism = 4, CancellationToken = TestContext.Current.CancellationToken }, async (seed, _) =>
        {
            var random = new Random(seed);
            var route = all[random.Next(all.Count)];
            var path = ServiceRoutes.Path(route.Pattern, name => random.Next(3) == 0 ? Names[random.Next(Names.Length)] : Usual(name));
            if (random.Next(4) == 0)
                path += HostileJson.Query(random);
            var body = route.Method is "GET" ? null : HostileJson.Mutate(random, ServiceRoutes.BodyOf(route));
            var ifMatch = random.Next(3) == 0 ? HostileJson.EntityTag(random) : null;
            try
            {
                await routes.AskAsync(route.Method, path, body, ifMatch: ifMatch);
            }
            catch (Exception failed) when (failed is HttpRequestException or Xunit.Sdk.XunitException)
            {
                wrong.Enqueue($"seed {seed}: {failed.Message}");
            }
        });
        Assert.True(wrong.IsEmpty, string.Join('\n', wrong.Take(20)));

        // It still works.
        Assert.Equal(HttpStatusCode.OK, (await routes.AskAsync("GET", "/statistics/devices", null)).Status);
    }

    private static async Task<(HttpStatusCode Status, string Error)> TryAsync(List<string> wrong, ServiceRoutes routes, (string Method, string Pattern) route, byte[] body, string contentType = "application/json")
    {
        try
        {
            var (status, error, _) = await routes.AskAsync(route.Method, ServiceRoutes.Path(route.Pattern, Usual), body, contentType);
            return (status, error);
        }
        catch (Xunit.Sdk.XunitException failed)
        {
            wrong.Add(failed.Message);
            return (HttpStatusCode.BadRequest, "IotHubFormatError");
        }
    }

    // Some bodies may be left out, and what a telemetry message is made of is its sender's.
    private static bool IsRefused(string what, HttpStatusCode status, string error) =>
        what is "nothing" ? status is < HttpStatusCode.InternalServerError : status is HttpStatusCode.BadRequest && error is "IotHubFormatError" or "ArgumentInvalid";

    /// <summary>The body with bytes that are no characters in the first text that it holds.</summary>
    private static byte[] WithoutUtf8(string body)
    {
        var bytes = Encoding.UTF8.GetBytes(body);
        bytes[body.IndexOf(":\"", StringComparison.Ordinal) + 2] = 0xff;
        return bytes;
    }

    private static string Usual(string name) => name switch { "id" => "d2", "moduleId" => "m1", "consumerGroup" => "$Default", "number" => "1", _ => "fuzz" };

    private async Task<ServiceRoutes> OpenAsync()
    {
        var routes = new ServiceRoutes(hub.Hub);
        await routes.AskAsync("PUT", "/devices/d2", "{}"u8.ToArray());
        await routes.AskAsync("PUT", "/devices/d2/modules/m1", "{}"u8.ToArray());
        return routes;
    }
}
