using System.CommandLine;
using System.Text.Json;
using Sallyport.Client.Service;
using Sallyport.Protocol.ConnectionStrings;
using Sallyport.Settings;
using Sallyport.Up;

namespace Sallyport.Cli;

/// <summary>How a verb reaches the hub, and as whom: by a policy or by a certificate. Holds a secret: never printed.</summary>
/// <param name="Policy">The connection string of a shared access policy or an operator; null with a certificate.</param>
/// <param name="Certificate">Null with a connection string.</param>
/// <param name="CaFile">The only root to trust; null for the system's.</param>
/// <param name="AmqpsPort">Where services find AMQP.</param>
/// <param name="DeviceAmqpsPort">Where devices find AMQP.</param>
/// <param name="ServiceAddress">Where the hub is for services; null: where its name resolves to.</param>
internal sealed record HubLogin(ConnectionString? Policy, CertificateLogin? Certificate, string? ServiceAddress, int Port, int MqttsPort, int AmqpsPort, int DeviceAmqpsPort, string? CaFile)
{
    public string HostName => Policy?.HostName ?? Certificate!.HostName;

    public string Address => $"{HostName}:{Port}";

    /// <summary>As whom, in words.</summary>
    public string Who => Policy is null ? $"certificate {Certificate!.CertificateFile}" : $"policy {Policy.SharedAccessKeyName}";

    /// <exception cref="FailedException">A file cannot be read, or the key is open to others.</exception>
    public ServiceClient Connect(TimeProvider time)
    {
        try
        {
            var options = new ServiceClientOptions { Address = ServiceAddress, Port = Port, CaFile = CaFile, Time = time };
            return Policy is null ? Certificate!.Connect(options) : new ServiceClient(Policy.Format(), options);
        }
        catch (Exception unreadable) when (unreadable is IOException or UnauthorizedAccessException or System.Security.Cryptography.CryptographicException)
        {
            throw new FailedException($"The root certificate {CaFile} cannot be read: name one with --ca-file, as `sallyport ca export` writes it.", unreadable);
        }
    }

    public override string ToString() => $"{Who} at {Address}";
}

/// <summary>
/// The flags by which every verb finds its hub. Credential: <c>--login</c>, <c>--login-file</c>, <c>--client-certificate</c>, <c>SALLYPORT_LOGIN</c>,
/// else the owner's in <c>endpoints.json</c>. Port and root: <c>--https-port</c>, <c>--ca-file</c>, <c>SALLYPORT_CA_FILE</c>, else those in <c>endpoints.json</c> when
/// it is about that host, else 443 and the system's roots.
/// </summary>
internal sealed class LoginOptions(Terminal terminal)
{
    public const string LoginVariable = "SALLYPORT_LOGIN";
    public const string CaFileVariable = "SALLYPORT_CA_FILE";

    private readonly Option<string> _data = Flags.Text("--data", "DIR", "The data directory of the running hub; default: ~/.local/state/sallyport/data");
    private readonly Option<string> _login = Flags.Text("--login", "VALUE", "A policy's connection string; other users of this machine can read it", "-l");
    private readonly Option<string> _loginFile = Flags.Text("--login-file", "FILE", $"File with a policy's connection string; or set {LoginVariable}");
    private readonly Option<string> _certificate = Flags.Text("--client-certificate", "FILE", "An operator's client certificate, PEM, instead of a login");
    private readonly Option<string> _key = Flags.Text("--client-key", "FILE", "Its private key, PEM, which only you can read; default: in the same file");
    private readonly Option<string> _host = Flags.Text("--hub", "NAME", "The hub's name, with --client-certificate; default: that of the hub on the data directory");
    private readonly Option<string> _caFile = Flags.Text("--ca-file", "FILE", $"The only root certificate to trust; or set {CaFileVariable}");
    private readonly Option<long?> _port = Flags.Number("--https-port", "PORT", "The hub's HTTPS port", 1, 65535, null);

    public IEnumerable<Option> All => [_data, _login, _loginFile, _certificate, _key, _host, _caFile, _port];

    /// <summary>Looks again at each call, because a hub may come back elsewhere.</summary>
    /// <exception cref="WrongUsageException">What was given is not a policy's connection string.</exception>
    /// <exception cref="FailedException">No hub is running there, or there is no credential.</exception>
    public async Task<HubLogin> ResolveAsync(ParseResult parsed, CancellationToken cancel)
    {
        var given = await GivenAsync(parsed, cancel).ConfigureAwait(false);
        var isNamed = parsed.GetValue(_data) is not null;
        var directory = Path.GetFullPath(parsed.GetValue(_data) ?? DataPath.Default());
        var endpoints = isNamed || given.HostName is null ? Require(directory, isNamed) : TryRead(directory);
        if (given.HostName is not null && !isNamed && endpoints?.HostName != given.HostName)
            endpoints = null;

        var certificate = given.CertificateFile is null ? null : new CertificateLogin(given.HostName ?? endpoints!.HostName, given.CertificateFile, given.KeyFile!);
        var policy = certificate is not null ? null : given.Policy ?? (endpoints!.OwnerConnectionString is { } owner
            ? ConnectionString.Parse(owner)
            : throw new FailedException($"The hub on {directory} keeps no credential there: give a policy's connection string with --login-file or in {LoginVariable}."));
        return new HubLogin(
            policy,
            certificate,
            endpoints?.ServiceAddress,
            (int?)parsed.GetValue(_port) ?? endpoints?.ServicePort ?? endpoints?.HttpsPort ?? 443,
            endpoints?.MqttsPort ?? 8883,
            endpoints?.ServiceAmqpsPort ?? endpoints?.AmqpsPort ?? 5671,
            endpoints?.AmqpsPort ?? 5671,
            parsed.GetValue(_caFile) ?? terminal.Variable(CaFileVariable) ?? endpoints?.CaFile);
    }

    /// <summary>Says once, before anything else, what is unsafe about how the verb was called.</summary>
    public async Task WarnAsync(ParseResult parsed)
    {
        if (parsed.GetValue(_login) is not null)
            await terminal.Error.WriteLineAsync($"Warning: other users of this machine can read what --login says; prefer --login-file or {LoginVariable}.").ConfigureAwait(false);
    }

    private async Task<GivenLogin> GivenAsync(ParseResult parsed, CancellationToken cancel)
    {
        var (value, file, certificate) = (parsed.GetValue(_login), parsed.GetValue(_loginFile), parsed.GetValue(_certificate));
        if (new[] { value, file, certificate }.Count(one => one is not null) > 1)
            throw new WrongUsageException("Give one of --login, --login-file and --client-certificate.");
        if (certificate is null && (parsed.GetValue(_key) ?? parsed.GetValue(_host)) is not null)
            throw new WrongUsageException("--client-key and --hub need --client-certificate.");

        if (certificate is not null)
            return new GivenLogin(null, parsed.GetValue(_host), Path.GetFullPath(certificate), Path.GetFullPath(parsed.GetValue(_key) ?? certificate));
        if (value is not null)
            return Read("--login", value, Environment.CurrentDirectory);
        if (file is not null)
            return Read("--login-file", await Secrets.ReadFileAsync("--login-file", file, cancel).ConfigureAwait(false), Path.GetDirectoryName(Path.GetFullPath(file))!);
        return terminal.Variable(LoginVariable) is { Length: > 0 } variable ? Read(LoginVariable, variable, Environment.CurrentDirectory) : new GivenLogin(null, null, null, null);
    }

    private static GivenLogin Read(string source, string text, string directory)
    {
        if (CertificateLogin.IsOne(text))
        {
            var login = CertificateLogin.Parse(source, text, directory);
            return new GivenLogin(null, login.HostName, login.CertificateFile, login.KeyFile);
        }

        if (!ConnectionString.TryParse(text, out var policy, out var problem))
            throw new WrongUsageException($"{source}: the connection string {problem}.");
        return policy!.SharedAccessKeyName is null || policy.SharedAccessKey is null
            ? throw new WrongUsageException($"{source}: a policy's connection string is needed, HostName=…;SharedAccessKeyName=…;SharedAccessKey=….")
            : new GivenLogin(policy, policy.HostName, null, null);
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

    /// <summary>What flags and environment say; nothing of it where they say nothing.</summary>
    private sealed record GivenLogin(ConnectionString? Policy, string? HostName, string? CertificateFile, string? KeyFile)
    {
        public override string ToString() => HostName ?? "";
    }
}
