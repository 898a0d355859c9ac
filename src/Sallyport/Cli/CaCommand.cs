using System.CommandLine;
using Sallyport.Certificates;
using Sallyport.Settings;
using Sallyport.Up;

namespace Sallyport.Cli;

/// <summary><c>ca export</c>: the certificate that clients must trust. It is public, and reading it needs no running hub.</summary>
internal static class CaCommand
{
    public static Command Create(Terminal terminal)
    {
        var data = new Option<string>("--data") { Description = "The hub's data directory", HelpName = "DIR" };
        var output = new Option<string>("--output", "-o") { Description = "Where to write it; standard output when not given", HelpName = "FILE" };
        return new Command("ca", "The root certificate that clients must trust")
        {
            new Verb("export", "Write the server root as PEM", "ca export --output sallyport-ca.crt", [data, output], async (parsed, cancel) =>
            {
                var directory = Path.GetFullPath(parsed.GetValue(data) ?? DataPath.Default());
                var source = EndpointsFile.TryRead(EndpointsFile.PathIn(directory))?.CaFile ?? TlsDirectory.CaFileOf(directory);
                if (!File.Exists(source))
                    throw new FailedException($"There is no server root in {directory}: start the hub once with `sallyport up`, or name its directory with --data.");

                var pem = await File.ReadAllTextAsync(source, cancel).ConfigureAwait(false);
                if (parsed.GetValue(output) is { } file)
                    await File.WriteAllTextAsync(file, pem, cancel).ConfigureAwait(false);
                else
                    await terminal.Out.WriteAsync(pem).ConfigureAwait(false);
                return 0;
            }),
        };
    }
}
