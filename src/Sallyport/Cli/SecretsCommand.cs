using System.CommandLine;
using System.Text.Json.Nodes;

namespace Sallyport.Cli;

/// <summary><c>secrets</c>: the key that seals secrets at rest.</summary>
internal static class SecretsCommand
{
    // Longer than a page takes, shorter than somebody looks twice.
    private static readonly TimeSpan PollInterval = TimeSpan.FromMilliseconds(500);

    private static readonly Printing Keys = Printing.Table(new("Key", "id"), new("Newest", "isNewest"), new("Seals", "seals"));

    private static readonly Printing Rotation = Printing.Table(new("State", "state"), new("Resealed", "resealed"), new("Total", "total"), new("Started", "started"), new("Message", "message"));

    public static Command Create(HubVerbs verbs) => new("secrets", "The key that seals the keys of identities and policies, and the secrets of connections, at rest")
    {
        verbs.Create(
            "show", "Show the ids of the keys, how many secrets each seals, and how far a rotation is", "secrets show -o table", [], Keys,
            async call =>
            {
                var secrets = (await call.Client.SendAsync(HttpMethod.Get, "manage/v1/secrets", cancel: call.Cancel).ConfigureAwait(false))!;
                return call.Output == "table" ? secrets["keys"]!.DeepClone() : secrets;
            }),
        verbs.Create(
            "rotate",
            "Seal everything with a new key and take the old one out of the key file, while the hub runs. One that was interrupted is gone on with. Interrupting this verb does not stop it",
            "secrets rotate", [], Rotation, RotateAsync),
    };

    private static async Task<JsonNode?> RotateAsync(HubCall call)
    {
        var rotation = (await call.Client.SendAsync(HttpMethod.Post, "manage/v1/secrets/rotate", cancel: call.Cancel).ConfigureAwait(false))!;
        string? said = null;
        while (true)
        {
            if ($"{rotation["resealed"]} of {rotation["total"]} secrets sealed anew" is var line && line != said)
                await call.Terminal.Error.WriteLineAsync(said = line).ConfigureAwait(false);
            if ((string)rotation["state"]! != "running")
                break;

            await Task.Delay(PollInterval, call.Time, call.Cancel).ConfigureAwait(false);
            rotation = (await call.Client.SendAsync(HttpMethod.Get, "manage/v1/secrets/rotation", cancel: call.Cancel).ConfigureAwait(false))!;
        }

        return (string)rotation["state"]! switch
        {
            "finished" => rotation,
            "none" => throw new FailedException("The hub was started anew meanwhile: run secrets rotate again, it goes on where it was."),
            _ => throw new FailedException($"The rotation stopped: {(string?)rotation["message"]}"),
        };
    }
}
