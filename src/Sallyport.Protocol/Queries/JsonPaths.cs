using System.Text;
using System.Text.Json;

namespace Sallyport.Protocol.Queries;

/// <summary>
/// Takes the values of some paths out of a JSON object, in one pass that stops when it has all and steps over what nobody asked for.
/// Immutable; thread-safe; allocates texts only.
/// </summary>
public sealed class JsonPaths
{
    private readonly Node _root = new([]);
    private readonly int _wanted;

    /// <param name="paths">Names from the root, and the slot that the value goes to. No names: the object itself.</param>
    public JsonPaths(IEnumerable<(IReadOnlyList<string> Names, int Slot)> paths)
    {
        foreach (var (names, slot) in paths)
        {
            var node = _root;
            foreach (var name in names)
                node = node.Child(Encoding.UTF8.GetBytes(name));
            node.Slot = slot;
            _wanted++;
        }
    }

    public bool IsEmpty => _wanted == 0;

    /// <summary>Sets the slots of what is there; leaves the others as they are.</summary>
    /// <param name="json">An object, as the hub stored it.</param>
    public void Read(ReadOnlySpan<byte> json, Span<QueryValue> values)
    {
        var reader = new Utf8JsonReader(json);
        var left = _wanted;
        if (reader.Read())
            Value(ref reader, _root, values, ref left);
    }

    private static void Value(ref Utf8JsonReader reader, Node node, Span<QueryValue> values, ref int left)
    {
        if (node.Slot >= 0)
        {
            values[node.Slot] = ValueOf(ref reader);
            left--;
        }

        if (reader.TokenType is JsonTokenType.StartArray || (reader.TokenType is JsonTokenType.StartObject && node.Children.Count == 0))
        {
            // What stops here is the last thing wanted: nobody reads on.
            if (left > 0)
                reader.Skip();
            return;
        }

        if (reader.TokenType is not JsonTokenType.StartObject)
            return;

        while (left > 0 && reader.Read() && reader.TokenType is JsonTokenType.PropertyName)
        {
            var child = node.Find(ref reader);
            reader.Read();
            if (child is null)
                reader.Skip();
            else
                Value(ref reader, child, values, ref left);
        }
    }

    /// <summary>Whether a primitive is among the members of an array.</summary>
    /// <param name="array">JSON.</param>
    internal static bool ArrayHas(string array, in QueryValue value)
    {
        var reader = new Utf8JsonReader(Encoding.UTF8.GetBytes(array));
        reader.Read();
        while (reader.Read() && reader.TokenType is not JsonTokenType.EndArray)
        {
            if (reader.TokenType is JsonTokenType.StartArray or JsonTokenType.StartObject)
                reader.Skip();
            else if (QueryValue.Compare(ValueOf(ref reader), value) is 0)
                return true;
        }

        return false;
    }

    private static QueryValue ValueOf(ref Utf8JsonReader reader)
    {
        switch (reader.TokenType)
        {
            case JsonTokenType.String:
                try
                {
                    return QueryValue.Of(reader.GetString());
                }
                catch (InvalidOperationException)
                {
                    return QueryValue.Undefined; // Half of a surrogate pair, escaped: no text.
                }

            case JsonTokenType.Number:
                return reader.TryGetDouble(out var number) ? QueryValue.Of(number) : QueryValue.Undefined;
            case JsonTokenType.True or JsonTokenType.False:
                return QueryValue.Of(reader.GetBoolean());
            case JsonTokenType.StartArray:
                var array = reader;
                using (var json = JsonDocument.ParseValue(ref array))
                    return QueryValue.ArrayOf(json.RootElement.GetRawText());
            case JsonTokenType.StartObject:
                return QueryValue.Object;
            default:
                return QueryValue.Null;
        }
    }

    private sealed class Node(byte[] name)
    {
        public byte[] Name => name;

        public int Slot { get; set; } = -1;

        public List<Node> Children { get; } = [];

        public Node Child(byte[] childName)
        {
            var child = Children.Find(one => one.Name.AsSpan().SequenceEqual(childName));
            if (child is null)
                Children.Add(child = new Node(childName));
            return child;
        }

        public Node? Find(ref Utf8JsonReader reader)
        {
            foreach (var child in Children)
            {
                if (reader.ValueTextEquals(child.Name))
                    return child;
            }

            return null;
        }
    }
}
