using System.CommandLine;
using System.Text.Json.Nodes;
using Sallyport.Client.Service;

namespace Sallyport.Cli;

/// <summary>A call of a verb that asks the hub.</summary>
/// <param name="Output">What <c>--output</c> says.</param>
/// <param name="ConnectAsync">Looks anew where the hub is; throws <see cref="FailedException"/> when it does not run.</param>
internal sealed record HubCall(
    ParseResult Parsed, string Output, HubLogin Login, ServiceClient Client, Func<CancellationToken, Task<ServiceClient>> ConnectAsync,
    Terminal Terminal, TimeProvider Time, CancellationToken Cancel);

/// <summary>Makes the verbs that ask a running hub one thing over REST and print what it answers.</summary>
internal sealed class HubVerbs(Terminal terminal, TimeProvider time)
{
    /// <param name="print">How the answer is shown; chooses what <c>--output</c> may say.</param>
    /// <param name="ask">Null: there is nothing to show.</param>
    /// <param name="local">For a verb that may do without a hub: does it and prints by itself, as <c>--output</c> says; null when this call needs the hub.</param>
    public Verb Create(
        string name, string description, string example, IEnumerable<Option> options, Printing print, Func<HubCall, Task<JsonNode?>> ask,
        Func<ParseResult, string, CancellationToken, Task?>? local = null)
    {
        var login = new LoginOptions(terminal);
        var output = print.Option();
        return new Verb(name, description, example, [.. options, output, .. login.All], async (parsed, cancel) =>
        {
            if (local?.Invoke(parsed, parsed.GetValue(output)!, cancel) is { } done)
            {
                await done.ConfigureAwait(false);
                return 0;
            }

            await login.WarnAsync(parsed).ConfigureAwait(false);
            var hub = await login.ResolveAsync(parsed, cancel).ConfigureAwait(false);
            using var client = hub.Connect(time);
            var call = new HubCall(parsed, parsed.GetValue(output)!, hub, client, ConnectAsync, terminal, time, cancel);
            try
            {
                if (await ask(call).ConfigureAwait(false) is { } answer)
                    print.Write(terminal, call.Output, answer);
            }
            catch (Exception failure) when (HubFailure.Describe(failure, hub) is { } described)
            {
                throw described;
            }
            catch (OperationCanceledException interrupted) when (cancel.IsCancellationRequested)
            {
                throw new FailedException("Interrupted: what was asked for may have been done or not.", interrupted);
            }

            return 0;

            async Task<ServiceClient> ConnectAsync(CancellationToken cancelConnect) =>
                (await login.ResolveAsync(parsed, cancelConnect).ConfigureAwait(false)).Connect(time);
        });
    }
}
