using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Npgsql;
using Sallyport.Services.Outgoing;

namespace Sallyport.Services.Sql;

/// <summary>
/// A PostgreSQL server. TLS with name and chain verified, except to this machine where the process configuration allows it.
/// The name is resolved and checked here on every connect, and the driver gets the address.
/// </summary>
internal sealed class PostgresTarget : ITelemetryTarget
{
    private const string Application = "sallyport";

    // What reads files or runs code of this machine, or weakens TLS, is not for whoever may create a connection.
    private static readonly string[] AllowedKeywords =
    [
        "Host", "Port", "Database", "Username", "Password", "SSL Mode", "Timeout", "Command Timeout", "Application Name", "Search Path",
    ];

    private readonly NpgsqlConnectionStringBuilder _settings;
    private readonly TableName _table;
    private readonly OutgoingOptions _options;
    private readonly OutgoingAddresses _addresses;
    private readonly bool _tlsIsGiven;

    /// <exception cref="FormatException">The connection string has something that is not allowed; says what, without a value.</exception>
    public PostgresTarget(string connectionString, TableName table, OutgoingOptions options, OutgoingAddresses addresses)
    {
        _table = table;
        _options = options;
        _addresses = addresses;
        try
        {
            _settings = new NpgsqlConnectionStringBuilder(connectionString);
        }
        catch (Exception e) when (e is ArgumentException or FormatException or InvalidCastException)
        {
            throw new FormatException("the connection string is not one of PostgreSQL");
        }

        // The driver's keys are its own spelling of whatever synonym was given.
        var refused = _settings.Keys.Cast<string>().Where(key => !AllowedKeywords.Contains(key, StringComparer.OrdinalIgnoreCase)).ToList();
        if (refused.Count > 0)
            throw new FormatException($"the connection string has {string.Join(", ", refused)}; allowed are {string.Join(", ", AllowedKeywords)}");
        if (string.IsNullOrEmpty(_settings.Host) || _settings.Host.Contains(',', StringComparison.Ordinal))
            throw new FormatException("the connection string must name one Host");

        _tlsIsGiven = _settings.Keys.Cast<string>().Contains("SSL Mode", StringComparer.OrdinalIgnoreCase);
        _settings.ApplicationName ??= Application;
        _settings.Pooling = false;
        _settings.TcpKeepAlive = true;
        // Only the connection string decides: not the hub's home directory.
        _settings.Passfile = "/dev/null";
    }

    // Elsewhere than on this machine, VerifyFull is all that is taken.
    public bool MayBePlain => !_settings.Host!.StartsWith('/')
        && (_tlsIsGiven ? _settings.SslMode is SslMode.Disable or SslMode.Allow or SslMode.Prefer : OutgoingAddresses.IsLoopbackName(_settings.Host));

    public string Description => $"PostgreSQL {_settings.Host}:{_settings.Port}/{_settings.Database ?? _settings.Username}, table {_table}";

    public async Task<ITelemetryTable> OpenAsync(Ownership ownership, CancellationToken cancel)
    {
        var (source, connection) = await ConnectAsync(cancel);
        try
        {
            await PostgresSchema.EnsureAsync(connection, _table, cancel);
            return await PostgresTable.ClaimAsync(source, connection, _table, ownership, cancel);
        }
        catch (Exception e)
        {
            await connection.DisposeAsync();
            await source.DisposeAsync();
            if (e is NpgsqlException failure)
                throw Translate(failure);
            throw;
        }
    }

    public async Task TestAsync(CancellationToken cancel)
    {
        var (source, connection) = await ConnectAsync(cancel);
        await using var _ = source;
        await using var __ = connection;
        try
        {
            // Never committed: tables made and rows written on the way are gone with it.
            await using var trial = await connection.BeginTransactionAsync(cancel);
            await PostgresSchema.EnsureAsync(connection, _table, cancel);
            var nobody = new Ownership("sallyport-test", $"sallyport-test-{Guid.NewGuid():N}", "test", 1, [0]);
            await PostgresTable.TryAsync(connection, _table, nobody, cancel);
        }
        catch (NpgsqlException e)
        {
            throw Translate(e);
        }
    }

    /// <summary>Which of the two it is decides whether somebody has to act. The server's words hold no secret.</summary>
    internal static TargetException Translate(NpgsqlException e) => e switch
    {
        PostgresException { IsTransient: false } said => new TargetException($"PostgreSQL said {said.SqlState}: {said.MessageText}", refused: true, e),
        PostgresException said => new TargetException($"PostgreSQL said {said.SqlState}: {said.MessageText}", refused: false, e),
        { InnerException: System.Security.Authentication.AuthenticationException tls } => new TargetException($"TLS with PostgreSQL failed: {tls.Message}", refused: true, e),
        _ => new TargetException(e.InnerException is null ? e.Message : $"{e.Message}: {e.InnerException.Message}", refused: false, e),
    };

    private async Task<(NpgsqlDataSource Source, NpgsqlConnection Connection)> ConnectAsync(CancellationToken cancel)
    {
        var host = _settings.Host!;
        if (host.StartsWith('/'))
        {
            if (!_options.AllowLoopback)
                throw new TargetException("unix sockets are of this machine, which the process configuration does not allow", refused: true);
            return await ConnectAsync(host, isLocal: true, cancel);
        }

        var addresses = await _addresses.ResolveAsync(host, _settings.Port, cancel);
        for (var i = 0; ; i++)
        {
            try
            {
                return await ConnectAsync(addresses[i].ToString(), OutgoingAddresses.IsLoopback(addresses[i]), cancel);
            }
            catch (TargetException e) when (!e.Refused && i + 1 < addresses.Count)
            {
                // The next address of the same name may answer.
                continue;
            }
        }
    }

    private async Task<(NpgsqlDataSource Source, NpgsqlConnection Connection)> ConnectAsync(string address, bool isLocal, CancellationToken cancel)
    {
        var name = _settings.Host!;
        var settings = new NpgsqlConnectionStringBuilder(_settings.ConnectionString) { Host = address };
        if (!_tlsIsGiven)
            settings.SslMode = isLocal ? SslMode.Prefer : SslMode.VerifyFull;
        else if (settings.SslMode != SslMode.VerifyFull && !isLocal)
            throw new TargetException("SSL Mode must be VerifyFull (or left out) for a server on another machine", refused: true);

        var builder = new NpgsqlDataSourceBuilder(settings.ConnectionString);
        builder.UseSslClientAuthenticationOptionsCallback(tls =>
        {
            tls.TargetHost = name;
            if (_options.RootsFile is null)
                return;

            var policy = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
            policy.CustomTrustStore.ImportFromPemFile(_options.RootsFile);
            tls.CertificateChainPolicy = policy;
        });

        var source = builder.Build();
        try
        {
            return (source, await source.OpenConnectionAsync(cancel));
        }
        catch (Exception e)
        {
            await source.DisposeAsync();
            throw e switch
            {
                NpgsqlException failure => Translate(failure),
                SocketException or IOException or TimeoutException => new TargetException(e.Message, refused: false, e),
                CryptographicException => new TargetException("the file of trusted roots cannot be read", refused: true, e),
                _ => e,
            };
        }
    }
}
