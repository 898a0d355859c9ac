using System.Text.RegularExpressions;

namespace Sallyport.Services.Sql;

/// <summary>A table as <c>table</c> or <c>schema.table</c>: letters, digits and underscores, quoted as given in every statement.</summary>
internal sealed partial record TableName(string? Schema, string Table)
{
    /// <summary>The table of positions beside every telemetry table.</summary>
    public const string Positions = "sallyport_positions";

    /// <summary>Null when it is not a name that is allowed.</summary>
    public static TableName? TryParse(string text)
    {
        var match = Pattern().Match(text);
        if (!match.Success)
            return null;

        var schema = match.Groups["schema"];
        var name = new TableName(schema.Success ? schema.Value : null, match.Groups["table"].Value);
        var isReserved = name.Table == Positions || name.Table.StartsWith("sqlite_", StringComparison.OrdinalIgnoreCase);
        return isReserved ? null : name;
    }

    public string Quoted => Qualify(Table);

    public string QuotedPositions => Qualify(Positions);

    public override string ToString() => Schema is null ? Table : $"{Schema}.{Table}";

    private string Qualify(string table) => Schema is null ? $"\"{table}\"" : $"\"{Schema}\".\"{table}\"";

    // 63 is PostgreSQL's bound on a name; what is longer would be cut silently.
    [GeneratedRegex(@"\A(?:(?<schema>[A-Za-z_][A-Za-z0-9_]{0,62})\.)?(?<table>[A-Za-z_][A-Za-z0-9_]{0,62})\z", RegexOptions.CultureInvariant)]
    private static partial Regex Pattern();
}
