using Npgsql;

namespace Sallyport.Services.Sql;

/// <summary><c>postgres://user:password@host:port/database?sslmode=verify-full</c> (libpq, "Connection URIs") as the driver wants it.</summary>
internal static class PostgresUrl
{
    /// <exception cref="FormatException">Something is wrong with it; says what, without a value.</exception>
    public static string ToConnectionString(string url)
    {
        if (!Uri.TryCreate(url, UriKind.Absolute, out var parsed) || parsed.Host.Length == 0)
            throw new FormatException("the URL is not postgres://user:password@host:port/database");

        var settings = new NpgsqlConnectionStringBuilder { Host = Uri.UnescapeDataString(parsed.Host.Trim('[', ']')) };
        if (parsed.Port > 0)
            settings.Port = parsed.Port;
        if (parsed.AbsolutePath.Length > 1)
            settings.Database = Uri.UnescapeDataString(parsed.AbsolutePath[1..]);
        var user = parsed.UserInfo.Split(':', 2);
        if (user[0].Length > 0)
            settings.Username = Uri.UnescapeDataString(user[0]);
        if (user.Length == 2)
            settings.Password = Uri.UnescapeDataString(user[1]);

        foreach (var pair in parsed.Query.TrimStart('?').Split('&', StringSplitOptions.RemoveEmptyEntries))
        {
            var (name, value) = pair.Split('=', 2) is [var key, var text] ? (key, Uri.UnescapeDataString(text)) : (pair, "");
            switch (name)
            {
                case "sslmode" when Enum.TryParse<SslMode>(value.Replace("-", "", StringComparison.Ordinal), ignoreCase: true, out var mode):
                    settings.SslMode = mode;
                    break;
                case "application_name":
                    settings.ApplicationName = value;
                    break;
                case "connect_timeout" when int.TryParse(value, out var seconds) && seconds is >= 0 and <= 1024:
                    settings.Timeout = seconds;
                    break;
                default:
                    throw new FormatException("the URL has a parameter other than sslmode, application_name and connect_timeout, or one that is not valid");
            }
        }

        return settings.ConnectionString;
    }
}
