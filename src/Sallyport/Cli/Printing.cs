using System.CommandLine;
using System.Globalization;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using Spectre.Console;

namespace Sallyport.Cli;

/// <summary>A column of a table. Columns are named one by one, so that nothing secret gets into a table by itself.</summary>
/// <param name="Of">The text of a row; null or empty leaves the cell empty.</param>
internal sealed record Column(string Header, Func<JsonObject, string?> Of)
{
    /// <param name="path">Names of nested members, separated by dots.</param>
    public Column(string header, string path)
        : this(header, row => Text(path.Split('.').Aggregate((JsonNode?)row, (node, name) => (node as JsonObject)?[name])))
    {
    }

    public static string? Text(JsonNode? value) => value switch
    {
        null => null,
        JsonValue one when one.TryGetValue<string>(out var text) => text,
        JsonArray list => string.Join(", ", list.Select(Text)),
        _ => value.ToJsonString(Printing.Json),
    };
}

/// <summary>
/// How answers are shown: JSON as the hub said it, a table of chosen columns, or the bare value (<c>tsv</c>, the word of <c>az</c>) for what is
/// a secret and made to be handed on.
/// </summary>
internal sealed class Printing
{
    /// <summary>For people: indented, <c>+</c> and letters of any language as they are. Control characters are escaped: what a device sends must not steer a terminal.</summary>
    public static readonly JsonSerializerOptions Json = new() { WriteIndented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, MaxDepth = 256 };

    // Wide enough that nothing is wrapped where a program reads.
    private const int UnboundedWidth = 100_000;

    // Beyond them a table of whatever rows have is of no use to anybody.
    private const int MaxOwnColumns = 20;

    private readonly IReadOnlyList<Column>? _columns;
    private readonly string[] _formats;

    private Printing(IReadOnlyList<Column>? columns, params string[] formats)
    {
        _columns = columns;
        _formats = formats;
    }

    public static Printing Nothing { get; } = new([], "json");

    /// <summary>The verb prints by itself, as it goes.</summary>
    public static Printing Streamed { get; } = new([], "json", "table");

    /// <summary>One member, which is a secret: never in a table.</summary>
    public static Printing Secret { get; } = new([], "json", "tsv");

    public static Printing Table(params IReadOnlyList<Column> columns) => new(columns, "json", "table");

    /// <summary>Rows that hold nothing secret, of whatever members they have: those are the columns, in the order in which they come.</summary>
    public static Printing Rows { get; } = new(null, "json", "table");

    public Option<string> Option() => Flags.Choice("--output", "How to print the result", _formats, "json", "-o");

    public void Write(Terminal terminal, string format, JsonNode answer)
    {
        switch (format)
        {
            case "table":
                List<JsonObject> all = [.. answer is JsonArray rows ? rows.OfType<JsonObject>() : [answer.AsObject()]];
                var columns = _columns ?? Own(all);
                if (columns.Count == 0)
                    break;

                var table = Started(columns);
                foreach (var row in all)
                    table.AddRow(columns.Select(column => new Text(Printable(column.Of(row)))));
                Show(terminal, table);
                break;
            case "tsv":
                terminal.Out.WriteLine(answer.AsObject().Single().Value!.GetValue<string>());
                break;
            default:
                terminal.Out.WriteLine(answer.ToJsonString(Json));
                break;
        }
    }

    /// <summary>One line of text without control characters.</summary>
    public static string Printable(string? text) =>
        text is null ? "" : string.Create(text.Length, text, (line, from) =>
        {
            for (var i = 0; i < line.Length; i++)
                line[i] = char.IsControl(from[i]) || char.GetUnicodeCategory(from[i]) is UnicodeCategory.Format or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator ? '\uFFFD' : from[i];
        });

    private static List<Column> Own(List<JsonObject> rows) =>
        [.. rows.SelectMany(row => row.Select(member => member.Key)).Distinct(StringComparer.Ordinal).Take(MaxOwnColumns)
            .Select(name => new Column(Printable(name), row => Column.Text(row[name])))];

    private static Table Started(IReadOnlyList<Column> columns)
    {
        var table = new Table { Border = TableBorder.Minimal, ShowRowSeparators = false };
        foreach (var column in columns)
            table.AddColumn(new TableColumn(new Text(column.Header)));
        return table;
    }

    private static void Show(Terminal terminal, Table table)
    {
        using var drawn = new StringWriter();
        var console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Ansi = AnsiSupport.No,
            ColorSystem = ColorSystemSupport.NoColors,
            Interactive = InteractionSupport.No,
            Out = new AnsiConsoleOutput(drawn),
        });
        console.Profile.Width = terminal.Width ?? UnboundedWidth;
        console.Write(table);

        // Without the frame's empty lines and the padding at the end of lines.
        foreach (var line in drawn.ToString().Split('\n').Select(line => line.TrimEnd()).Where(line => line.Length > 0))
            terminal.Out.WriteLine(line);
    }
}
