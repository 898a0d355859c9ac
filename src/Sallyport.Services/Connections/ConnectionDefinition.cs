using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.RegularExpressions;
using Sallyport.Protocol.Errors;
using Sallyport.Storage.EventLog;
using Sallyport.Storage.Metadata;

namespace Sallyport.Services.Connections;

/// <summary>What somebody asks for. Holds a secret: never printed.</summary>
/// <param name="Kind"><c>sql</c>.</param>
/// <param name="ConnectionString">Of the target; decides whether it is PostgreSQL or SQLite.</param>
/// <param name="Table"><c>table</c> or <c>schema.table</c>.</param>
/// <param name="FromEarliest">Begin with the oldest record kept; otherwise with the first one that comes.</param>
/// <param name="Hold">What gives way when it holds back as much of the log as may be held.</param>
public sealed partial record ConnectionDefinition(string Name, string Kind, string ConnectionString, string Table, bool FromEarliest, HoldPolicy Hold = HoldPolicy.Skip)
{
    public const string Sql = "sql";

    private const int MaxConnectionStringLength = 4096;

    public override string ToString() => $"{Kind} {Name}";

    /// <exception cref="HubException">A value is not valid.</exception>
    internal void Validate()
    {
        if (!NamePattern().IsMatch(Name))
            throw new HubException(HubErrors.ArgumentInvalid, "name a connection with 1 to 64 letters, digits, '-', '.' and '_'");
        if (Kind != Sql)
            throw new HubException(HubErrors.ArgumentInvalid, $"there is no kind of connection '{Kind}'; there is: {Sql}");
        if (ConnectionString.Length is 0 or > MaxConnectionStringLength)
            throw new HubException(HubErrors.ArgumentInvalid, $"a connection string has 1 to {MaxConnectionStringLength} characters");
    }

    [GeneratedRegex(@"\A[A-Za-z0-9._-]{1,64}\z", RegexOptions.CultureInvariant)]
    private static partial Regex NamePattern();
}

/// <summary>What is kept of a definition without its secret, as JSON in <see cref="ConnectionRecord.Settings"/>.</summary>
/// <param name="Id">New with every creation.</param>
/// <param name="RefuseIngest">Absent where it was made before there was a choice: it skips.</param>
internal sealed record ConnectionSettings(string Id, string Table, bool FromEarliest, bool RefuseIngest = false)
{
    [JsonIgnore]
    public HoldPolicy Hold => RefuseIngest ? HoldPolicy.RefuseIngest : HoldPolicy.Skip;

    public static ConnectionSettings Of(ConnectionRecord record) =>
        JsonSerializer.Deserialize<ConnectionSettings>(record.Settings, JsonSerializerOptions.Web)
        ?? throw new JsonException($"the settings of connection {record.Name} are empty");

    public string ToJson() => JsonSerializer.Serialize(this, JsonSerializerOptions.Web);
}
