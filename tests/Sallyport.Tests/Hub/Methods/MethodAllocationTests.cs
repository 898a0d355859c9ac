using System.Text;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Methods;
using Sallyport.Hub.Physical;
using Sallyport.Protocol.Identities;
using Sallyport.Tests.Heads.Mqtt;
using Sallyport.Tests.Hub.Registry;

namespace Sallyport.Tests.Hub.Methods;

/// <summary>Runs while nothing else does: it reads the process's own count of allocated bytes.</summary>
[Collection(nameof(MqttAllocationTests))]
public sealed class MethodAllocationTests
{
    private const int Calls = 500;

    // Measured: 2.2 KB, the test's own part among them; 4 KB is what it must not become.
    [Fact]
    public async Task Invoke_InSteadyState_AllocatesNoMoreThanItDid()
    {
        var identity = Identity.Of("d1");
        await using var hub = await RegistryFixture.OpenAsync();
        await hub.CreateAsync("d1");
        using var methods = new DirectMethods(hub.Connected, hub.Cache, new QuarantineLine(), new PrivilegedReads(hub.Audit, TimeProvider.System), TimeProvider.System);
        var link = new MethodLink(identity);
        hub.Connected.Attach(link);
        await CallAsync();

        var before = GC.GetTotalAllocatedBytes(precise: true);
        await CallAsync();
        Assert.InRange((GC.GetTotalAllocatedBytes(precise: true) - before) / Calls, 0, 4_000);

        async Task CallAsync()
        {
            for (var i = 0; i < Calls; i++)
            {
                var call = methods.InvokeAsync(RegistryFixture.Owner, new MethodCall(identity, "blink", "1"u8.ToArray()), CancellationToken.None);
                methods.Answer(identity, Encoding.UTF8.GetBytes(link.Sent[^1].Id.ToString("N")), 200, "{}"u8);
                await call;
                link.Sent.Clear();
            }
        }
    }
}
