using System.CommandLine;
using System.Text.Json;
using Sallyport.Client.Service;
using Sallyport.Protocol.ConnectionStrings;
using Sallyport.Settings;
using Sallyport.Up;

namespace Sallyport.Cli;

/// <summary>How a verb reaches the hub, and as whom. Holds a secret: never printed.</summary>
/// <param name="Policy">The connection string of a shared access policy.</param>
/// <param name="CaFile">The only root to trust; null for the system's.</param>
/// <param name="ServiceAddress">Where the hub is for services; null: where its name resolves to.</param>
internal sealed record HubLogin(ConnectionString Policy, string? ServiceAddress, int Port, int MqttsPort, string? CaFile)
{
    public string Address => $"{Policy.HostName}:{Port}";

    /// <exception cref="FailedException">The file of the root cannot be read.</exception>
    public ServiceClient Connect(TimeProvider time)
    {
        try
        {
            return new ServiceClient(Policy.Format(), new ServiceClientOptions { Address = ServiceAddress, Port = Port, CaFile = CaFile, Time = time });
        }
        catch (Exception unreadable) when (unreadable is IOException or UnauthorizedAccessException or System.Security.Cryptography.CryptographicException)
        {
            throw new FailedException($"The root certificate {CaFile} cannot be read: name one with --ca-file, as `sallyport ca export` writes it.", unreadable);
        }
    }

    public override string ToString() => $"{Policy} at port {Port}";
}

/// <summary>
/// The flags by which every verb finds its hub. Credential: <c>--login</c>, <c>--login-file</c>, <c>SALLYPORT_LOGIN</c>, else the owner's in
/// <c>endpoints.json</c>. Port and root: <c>--https-port</c>, <c>--ca-file</c>, <c>SALLYPORT_CA_FILE</c>, else those in <c>endpoints.json</c> when
/// it is about that host, else 443 and the system's roots.
/// </summary>
internal sealed class LoginOptions(Terminal terminal)
{
    public const string LoginVariable = "SALLYPORT_LOGIN";
    public const string CaFileVariable = "SALLYPORT_CA_FILE";

    private readonly Option<string> _data = Flags.Text("--data", "DIR", "The data directory of the running hub; default: ~/.local/state/sallyport/data");
    private readonly Option<string> _login = Flags.Text("--login", "VALUE", "A policy's connection string; other users of this machine can read it", "-l");
    private readonly Option<string> _loginFile = Flags.Text("--login-file", "FILE", $"File with a policy's connection string; or set {LoginVariable}");
    private readonly Option<string> _caFile = Flags.Text("--ca-file", "FILE", $"The only root certificate to trust; or set {CaFileVariable}");
    private readonly Option<long?> _port = Flags.Number("--https-port", "PORT", "The hub's HTTPS port", 1, 65535, null);

    public IEnumerable<Option> All => [_data, _login, _loginFile, _caFile, _port];

    /// <summary>Looks again at each call, because a hub may come back elsewhere.</summary>
    /// <exception cref="WrongUsageException">What was given is not a policy's connection string.</exception>
    /// <exception cref="FailedException">No hub is running there, or there is no credential.</exception>
    public async Task<HubLogin> ResolveAsync(ParseResult parsed, CancellationToken cancel)
    {
        var policy = await GivenAsync(parsed, cancel).ConfigureAwait(false);
        var isNamed = parsed.GetValue(_data) is not null;
        var directory = Path.GetFullPath(parsed.GetValue(_data) ?? DataPath.Default());
        var endpoints = isNamed || policy is null ? Require(directory, isNamed) : TryRead(directory);
        if (policy is not null && !isNamed && endpoints?.HostName != policy.HostName)
            endpoints = null;

        policy ??= endpoints!.OwnerConnectionString is { } owner
            ? ConnectionString.Parse(owner)
            : throw new FailedException($"The hub on {directory} keeps no credential there: give a policy's connection string with --login-file or in {LoginVariable}.");
        return new HubLogin(
            policy,
            endpoints?.ServiceAddress,
            (int?)parsed.GetValue(_port) ?? endpoints?.ServicePort ?? endpoints?.HttpsPort ?? 443,
            endpoints?.MqttsPort ?? 8883,
            parsed.GetValue(_caFile) ?? terminal.Variable(CaFileVariable) ?? endpoints?.CaFile);
    }

    /// <summary>Says once, before anything else, what is unsafe about how the verb was called.</summary>
    public async Task WarnAsync(ParseResult parsed)
    {
        if (parsed.GetValue(_login) is not null)
            await terminal.Error.WriteLineAsync($"Warning: other users of this machine can read what --login says; prefer --login-file or {LoginVariable}.").ConfigureAwait(false);
    }

    private async Task<ConnectionString?> GivenAsync(ParseResult parsed, CancellationToken cancel)
    {
        var (value, file) = (parsed.GetValue(_login), parsed.GetValue(_loginFile));
        if (value is not null && file is not null)
            throw new WrongUsageException("Give one of --login and --login-file.");
        if (value is not null)
            return Policy("--login", value);
        if (file is not null)
            return Policy("--login-file", await Secrets.ReadFileAsync("--login-file", file, cancel).ConfigureAwait(false));
        return terminal.Variable(LoginVariable) is { Length: > 0 } variable ? Policy(LoginVariable, variable) : null;
    }

    private static ConnectionString Policy(string source, string text)
    {
        if (!ConnectionString.TryParse(text, out var policy, out var problem))
            throw new WrongUsageException($"{source}: the connection string {problem}.");
        return policy!.SharedAccessKeyName is null || policy.SharedAccessKey is null
            ? throw new WrongUsageException($"{source}: a policy's connection string is needed, HostName=…;SharedAccessKeyName=…;SharedAccessKey=….")
            : policy;
    }

    private static EndpointsFile Require(string directory, bool isNamed) => TryRead(directory)
        ?? throw new FailedException($"No hub is running on {directory}: start it with ./sallyport up{(isNamed ? $" --data {directory}" : "")}.");

    private static EndpointsFile? TryRead(string directory)
    {
        var path = EndpointsFile.PathIn(directory);
        try
        {
            return EndpointsFile.TryRead(path);
        }
        catch (UnauthorizedAccessException hidden)
        {
            throw new FailedException($"{path} belongs to somebody else: call this as that user, or name another directory with --data.", hidden);
        }
        catch (Exception unreadable) when (unreadable is IOException or JsonException)
        {
            throw new FailedException($"{path} cannot be read: restart the hub, which writes it.", unreadable);
        }
    }
}
