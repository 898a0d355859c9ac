using System.Buffers.Binary;
using System.Text;

namespace Sallyport.Tests.Executable.Clients;

/// <summary>
/// A conversation between a client and a hub as a text file (<c>Transcripts/*.txt</c>): what the client says byte by byte, and what it is to hear.
/// </summary>
/// <remarks>
/// <para><c>&gt;</c> begins what the client says, up to the next line that begins with <c>&gt;</c>, <c>&lt;</c> or <c>#</c>: bytes in hex,
/// <c>'text'</c> in ASCII, and what only the test knows in braces: <c>{device d1}</c>, a token; <c>{policy service}</c>, a token;
/// <c>{eventhub service}</c>, a token of the text of the key; <c>{key service}</c>, a key. What such a text changes the length of is measured:
/// <c>(1 …)</c> and <c>(4 …)</c> are bytes behind their number in one or four bytes, <c>(f …)</c> a frame behind its own size.</para>
/// <para><c>&lt;</c> is one frame that the client hears: the name, the condition of an error, then facts as <c>name=value</c>.
/// <c>#</c> begins a comment.</para>
/// </remarks>
internal static class AmqpTranscript
{
    /// <summary>What the client says in one go, and the frames it is to hear before it goes on.</summary>
    public sealed record Turn(byte[] Said, IReadOnlyList<string> Heard);

    /// <summary>Reads a transcript.</summary>
    /// <param name="fill">What stands for the words in braces.</param>
    public static IReadOnlyList<Turn> Read(string text, Func<string, string> fill)
    {
        var turns = new List<Turn>();
        var said = new List<byte>();
        var heard = new List<string>();
        foreach (var line in Lines(text))
        {
            if (line.StartsWith('<'))
            {
                heard.Add(line[1..].Trim());
                continue;
            }

            if (heard.Count > 0)
            {
                turns.Add(new Turn([.. said], [.. heard]));
                said.Clear();
                heard.Clear();
            }

            var at = 1;
            said.AddRange(Bytes(line, ref at, fill));
            if (at < line.Length)
                throw new FormatException($"a parenthesis too many: {line}");
        }

        turns.Add(new Turn([.. said], [.. heard]));
        return turns;
    }

    // A line of the file, or several that belong to one frame, without comments.
    private static IEnumerable<string> Lines(string text)
    {
        StringBuilder? frame = null;
        foreach (var raw in text.Split('\n'))
        {
            var line = WithoutComment(raw);
            if (line.Length == 0)
                continue;
            if (line[0] is '<' or '>' && frame is not null)
            {
                yield return frame.ToString();
                frame = null;
            }

            if (line[0] == '<')
                yield return line;
            else
                (frame ??= new StringBuilder()).Append(line).Append(' ');
        }

        if (frame is not null)
            yield return frame.ToString();
    }

    private static string WithoutComment(string line)
    {
        var isQuoted = false;
        for (var i = 0; i < line.Length; i++)
        {
            if (line[i] == '\'')
                isQuoted = !isQuoted;
            else if (line[i] == '#' && !isQuoted)
                return line[..i].TrimEnd();
        }

        return line.TrimEnd();
    }

    private static List<byte> Bytes(string text, ref int at, Func<string, string> fill)
    {
        var bytes = new List<byte>();
        while (at < text.Length && text[at] != ')')
        {
            switch (text[at])
            {
                case ' ':
                    at++;
                    break;
                case '\'':
                    bytes.AddRange(Encoding.ASCII.GetBytes(Until('\'', text, ref at)));
                    break;
                case '{':
                    bytes.AddRange(Encoding.UTF8.GetBytes(fill(Until('}', text, ref at))));
                    break;
                case '(':
                    var measure = text[at + 1];
                    at += 2;
                    var inner = Bytes(text, ref at, fill);
                    at++;
                    bytes.AddRange(Measured(measure, inner.Count));
                    bytes.AddRange(inner);
                    break;
                default:
                    bytes.Add(Convert.ToByte(text.Substring(at, 2), 16));
                    at += 2;
                    break;
            }
        }

        return bytes;
    }

    private static string Until(char end, string text, ref int at)
    {
        var close = text.IndexOf(end, at + 1);
        var inner = text[(at + 1)..close];
        at = close + 1;
        return inner;
    }

    private static byte[] Measured(char measure, int count) => measure switch
    {
        '1' => [checked((byte)count)],
        '4' => BigEndian(count),
        'f' => BigEndian(count + 4),
        _ => throw new FormatException($"({measure}"),
    };

    private static byte[] BigEndian(int value)
    {
        var bytes = new byte[4];
        BinaryPrimitives.WriteInt32BigEndian(bytes, value);
        return bytes;
    }
}
