using Npgsql;
using Sallyport.Services.Outgoing;
using Sallyport.Services.Sql;

namespace Sallyport.Tests.Services.Sql;

public sealed class SqlTargetsTests
{
    private readonly SqlTargets _targets = new(new OutgoingOptions { SinksDirectory = "/nonexistent" });

    [Theory]
    [InlineData("Host=db.example;Database=iot;Username=u;Password=p4ssw0rd", "PostgreSQL db.example:5432/iot, table plant.t")]
    [InlineData("postgres://u:p4ssw0rd@db.example:6432/iot", "PostgreSQL db.example:6432/iot, table plant.t")]
    public void ConnectionString_OfPostgres_IsDescribedWithoutItsPassword(string connectionString, string description)
    {
        Assert.Equal(description, _targets.Create(connectionString, "plant.t").Description);
    }

    [Fact]
    public void ConnectionString_OfSqlite_IsTaken()
    {
        Assert.Equal("SQLite telemetry.db, table t", _targets.Create("Data Source=telemetry.db", "t").Description);
    }

    [Theory]
    [InlineData("")]
    [InlineData("nonsense")]
    [InlineData("Username=u")]
    [InlineData("Host=a,b")]
    [InlineData("Host=h;Passfile=/etc/shadow")]
    [InlineData("Host=h;Root Certificate=/etc/shadow")]
    [InlineData("Host=h;SSL Key=/etc/shadow")]
    [InlineData("Host=h;Trust Server Certificate=true")]
    [InlineData("Host=h;Options=-c x=y")]
    [InlineData("Host=h;Log Parameters=true")]
    [InlineData("Host=h;Port=notanumber")]
    [InlineData("postgres://")]
    [InlineData("postgres://u:p@h/db?sslrootcert=/etc/shadow")]
    [InlineData("postgres://u:p@h/db?sslmode=sometimes")]
    public void ConnectionString_WithMoreThanIsAllowed_IsRefusedWithoutRepeatingIt(string connectionString)
    {
        var refused = Assert.Throws<FormatException>(() => _targets.Create(connectionString, "t"));

        Assert.DoesNotContain("shadow", refused.ToString());
    }

    [Theory]
    [InlineData("")]
    [InlineData("t;drop")]
    [InlineData("a.b.c")]
    [InlineData("t\"")]
    [InlineData("1t")]
    [InlineData("t t")]
    [InlineData("sallyport_positions")]
    [InlineData("plant.sallyport_positions")]
    [InlineData("sqlite_master")]
    [InlineData("t\n")]
    [InlineData("a123456789012345678901234567890123456789012345678901234567890123")]
    public void Table_WithAnotherName_IsRefused(string table)
    {
        Assert.Throws<FormatException>(() => _targets.Create("Host=h", table));
    }

    [Fact]
    public void Url_OfPostgres_IsReadWholeAndDecoded()
    {
        var settings = new NpgsqlConnectionStringBuilder(PostgresUrl.ToConnectionString("postgresql://u%40x:p%3B%2Fw@[2001:db8::1]:6432/i%20ot?sslmode=verify-full&connect_timeout=7"));

        Assert.Equal(("2001:db8::1", 6432, "i ot", "u@x", "p;/w", SslMode.VerifyFull, 7),
            (settings.Host, settings.Port, settings.Database, settings.Username, settings.Password, settings.SslMode, settings.Timeout));
    }
}
