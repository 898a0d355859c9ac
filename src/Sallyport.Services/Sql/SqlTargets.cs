using System.Data.Common;
using Sallyport.Services.Outgoing;

namespace Sallyport.Services.Sql;

/// <summary>Tells from a connection string which database it is of.</summary>
internal sealed class SqlTargets(OutgoingOptions options)
{
    private readonly OutgoingAddresses _addresses = new(options);
    private readonly SinkFiles _files = new(options);

    /// <exception cref="FormatException">Connection string or table name is not valid; says what, without a value of theirs.</exception>
    public ITelemetryTarget Create(string connectionString, string table)
    {
        var name = TableName.TryParse(table)
            ?? throw new FormatException("name a table as 'table' or 'schema.table', with letters, digits and underscores; names that SQLite or Sallyport use are taken");
        if (connectionString.StartsWith("postgres://", StringComparison.OrdinalIgnoreCase) || connectionString.StartsWith("postgresql://", StringComparison.OrdinalIgnoreCase))
            return new PostgresTarget(PostgresUrl.ToConnectionString(connectionString), name, options, _addresses);

        var given = new DbConnectionStringBuilder();
        try
        {
            given.ConnectionString = connectionString;
        }
        catch (ArgumentException)
        {
            throw new FormatException("the connection string is not NAME=VALUE;…");
        }

        if (given.ContainsKey("Data Source") || given.ContainsKey("DataSource") || given.ContainsKey("Filename"))
            return new SqliteTarget(connectionString, name, _files);
        if (given.ContainsKey("Host") || given.ContainsKey("Server"))
            return new PostgresTarget(connectionString, name, options, _addresses);
        throw new FormatException("the connection string names neither a Host (PostgreSQL) nor a Data Source (SQLite)");
    }
}
