using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Npgsql;
using Sallyport.Tests.Client;

namespace Sallyport.Tests.Services.Sql;

/// <summary>
/// A throw-away PostgreSQL server on a loopback port, with TLS for <see cref="TlsName"/>. PostgreSQL does not run as root:
/// as root, it runs as the user <c>postgres</c> of Debian's package.
/// </summary>
public sealed class PostgresCluster : IAsyncLifetime
{
    /// <summary>The name in the server's certificate.</summary>
    public const string TlsName = "db.example.test";

    private const string Password = "test-only";
    private const string MissingReason = "PostgreSQL is not installed: apt-get install postgresql";

    private readonly string? _binaries = FindBinaries();
    private readonly string _directory = Directory.CreateTempSubdirectory("sallyport-pg-").FullName;
    private readonly TestCertificates _certificates = new(TlsName);

    public int Port { get; } = FreePort();

    public string RootsFile => _certificates.RootFile;

    /// <summary>Of a database of its own, so that tests do not see each other's tables.</summary>
    public string ConnectionString(string database) =>
        $"Host=127.0.0.1;Port={Port};Database={database};Username=sallyport;Password={Password};Timeout=10;Command Timeout=30";

    /// <summary>Makes a database for one test.</summary>
    public async Task<string> CreateDatabaseAsync()
    {
        Assert.SkipUnless(_binaries is not null, MissingReason);
        var name = $"t{Guid.NewGuid():N}";
        await ExecuteAsync(ConnectionString("postgres"), $"CREATE DATABASE {name}");
        return ConnectionString(name);
    }

    public static async Task ExecuteAsync(string connectionString, string sql)
    {
        await using var connection = new NpgsqlConnection(connectionString + ";Pooling=false");
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand(sql, connection);
        await command.ExecuteNonQueryAsync();
    }

    public static async Task<List<object?[]>> QueryAsync(string connectionString, string sql)
    {
        await using var connection = new NpgsqlConnection(connectionString + ";Pooling=false");
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand(sql, connection);
        await using var reader = await command.ExecuteReaderAsync();
        var rows = new List<object?[]>();
        while (await reader.ReadAsync())
        {
            var row = new object?[reader.FieldCount];
            reader.GetValues(row!);
            rows.Add([.. row.Select(value => value is DBNull ? null : value)]);
        }

        return rows;
    }

    public async ValueTask InitializeAsync()
    {
        if (_binaries is null)
            return;

        var passwordFile = Path.Combine(_directory, "password");
        await File.WriteAllTextAsync(passwordFile, Password);
        if (Environment.IsPrivilegedProcess)
            await RunAsync("chown", "-R", "postgres:postgres", _directory);
        await RunAsPostgresAsync("initdb", "-D", Data, "-U", "sallyport", "-A", "scram-sha-256", "--pwfile", passwordFile, "-E", "UTF8", "--no-locale", "--no-sync");

        var certificate = Path.Combine(Data, "server.crt");
        var key = Path.Combine(Data, "server.key");
        await File.WriteAllTextAsync(certificate, _certificates.Server.ExportCertificatePem());
        await File.WriteAllTextAsync(key, _certificates.ServerKeyPem);
        File.SetUnixFileMode(key, UnixFileMode.UserRead);
        if (Environment.IsPrivilegedProcess)
            await RunAsync("chown", "postgres:postgres", certificate, key);
        await StartAsync();
    }

    public Task StartAsync() => RunAsPostgresAsync(
        "pg_ctl", "-D", Data, "-w", "-l", Path.Combine(_directory, "log"), "-o",
        $"-c listen_addresses=127.0.0.1 -c port={Port} -c unix_socket_directories={_directory} -c ssl=on -c fsync=off -c max_connections=40", "start");

    /// <summary>Ends every server process at once, as a crash does: the next start recovers.</summary>
    public Task KillAsync() => RunAsPostgresAsync("pg_ctl", "-D", Data, "-m", "immediate", "-w", "stop");

    public async ValueTask DisposeAsync()
    {
        if (_binaries is not null)
            await KillAsync();
        Directory.Delete(_directory, recursive: true);
        _certificates.Dispose();
    }

    private string Data => Path.Combine(_directory, "data");

    private static string? FindBinaries() =>
        Directory.Exists("/usr/lib/postgresql")
            ? Directory.GetDirectories("/usr/lib/postgresql").Select(version => Path.Combine(version, "bin"))
                .Where(bin => File.Exists(Path.Combine(bin, "initdb"))).Order().LastOrDefault()
            : null;

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    private Task RunAsPostgresAsync(string program, params string[] arguments)
    {
        var path = Path.Combine(_binaries!, program);
        return Environment.IsPrivilegedProcess
            ? RunAsync("setpriv", ["--reuid=postgres", "--regid=postgres", "--init-groups", path, .. arguments])
            : RunAsync(path, arguments);
    }

    // The server that pg_ctl leaves behind inherits its streams: they go nowhere, so that nobody waits for their end.
    private static async Task RunAsync(string program, params string[] arguments)
    {
        var start = new ProcessStartInfo("/bin/sh") { WorkingDirectory = "/" };
        start.ArgumentList.Add("-c");
        start.ArgumentList.Add("exec \"$@\" >/dev/null 2>&1 </dev/null");
        start.ArgumentList.Add("sh");
        start.ArgumentList.Add(program);
        foreach (var argument in arguments)
            start.ArgumentList.Add(argument);
        using var process = Process.Start(start)!;
        await process.WaitForExitAsync();
        if (process.ExitCode != 0)
            throw new InvalidOperationException($"{program} {string.Join(' ', arguments)} exited with {process.ExitCode}");
    }
}

/// <summary>Tests that share the server, one after the other: some of them kill it.</summary>
[CollectionDefinition(Name)]
public sealed class PostgresTests : ICollectionFixture<PostgresCluster>
{
    public const string Name = "PostgreSQL";
}
