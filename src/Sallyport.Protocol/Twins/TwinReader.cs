using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Unicode;
using Sallyport.Protocol.Errors;

namespace Sallyport.Protocol.Twins;

/// <summary>
/// Reads JSON of a twin, or of a patch of one, by IoT Hub's rules. Pure; a mistake is a <see cref="HubException"/> that names the place in the
/// twin and what is allowed there.
/// </summary>
public static class TwinReader
{
    /// <summary>Reads a part of a twin: an object, in which null means "delete".</summary>
    /// <param name="ignoresHubNames">Members <c>$metadata</c> and <c>$version</c> of the part itself are passed over: services send a twin back as they read it.</param>
    /// <exception cref="HubException">400: it is not JSON, no object, or against a rule.</exception>
    public static TwinNode Read(ReadOnlySpan<byte> json, TwinLimits limits, bool ignoresHubNames = false)
    {
        if (!Utf8.IsValid(json))
            throw new HubException(HubErrors.FormatError, $"{limits.Path}: not valid UTF-8");

        try
        {
            var reader = new Utf8JsonReader(json);
            reader.Read();
            var node = new Walk(limits, ignoresHubNames, isTrusted: false).Part(ref reader);
            reader.Read(); // Throws when something follows.
            return node;
        }
        catch (JsonException e)
        {
            throw new HubException(HubErrors.FormatError, string.Create(CultureInfo.InvariantCulture, $"{limits.Path}: not JSON, at line {e.LineNumber + 1 ?? 1}, byte {e.BytePositionInLine + 1 ?? 1}"));
        }
        catch (InvalidOperationException)
        {
            throw new HubException(HubErrors.FormatError, $"{limits.Path}: a text with half a surrogate pair");
        }
    }

    /// <summary>Reads what the hub has stored; its rules were asked when it came in.</summary>
    internal static TwinNode ReadStored(ReadOnlySpan<byte> json)
    {
        var reader = new Utf8JsonReader(json);
        reader.Read();
        return new Walk(new TwinLimits("", 0), ignoresHubNames: false, isTrusted: true).Part(ref reader);
    }

    private sealed class Walk(TwinLimits limits, bool ignoresHubNames, bool isTrusted)
    {
        // What errors print of a key.
        private const int MaxPrinted = 64;

        private const int FewNames = 8;

        private readonly List<string> _path = [];

        public TwinNode Part(ref Utf8JsonReader reader) =>
            reader.TokenType is JsonTokenType.StartObject ? Object(ref reader, depth: 0) : throw Wrong("an object is needed");

        private TwinNode Value(ref Utf8JsonReader reader, int depth)
        {
            switch (reader.TokenType)
            {
                case JsonTokenType.Null:
                    return TwinNode.Null;
                case JsonTokenType.StartObject:
                    CheckDepth(depth);
                    return Object(ref reader, depth);
                case JsonTokenType.StartArray:
                    CheckDepth(depth);
                    var text = new ArrayBufferWriter<byte>();
                    using (var writer = new Utf8JsonWriter(text, CompactJson.Options))
                    {
                        var size = Array(ref reader, writer, depth);
                        writer.Flush();
                        return new TwinNode(text.WrittenSpan.ToArray(), size);
                    }

                default:
                    return new TwinNode(Raw(reader).ToArray(), Scalar(ref reader));
            }
        }

        private TwinNode Object(ref Utf8JsonReader reader, int depth)
        {
            List<TwinMember> members = [];
            HashSet<string>? names = null;
            while (reader.Read() && reader.TokenType is JsonTokenType.PropertyName)
            {
                // A few names are looked through, more are put into a set.
                if (members.Count == FewNames && names is null && !isTrusted)
                    names = new HashSet<string>(members.Select(member => member.Name), StringComparer.Ordinal);
                var name = Name(ref reader, names, depth);
                if (names is null && !isTrusted && IsThere(members, name))
                    throw Twice(name);

                reader.Read();
                if (depth == 0 && ignoresHubNames && name is "$metadata" or "$version")
                {
                    reader.Skip();
                    continue;
                }

                _path.Add(name);
                members.Add(new TwinMember(name, Value(ref reader, depth + 1)));
                _path.RemoveAt(_path.Count - 1);
            }

            return members.Count == 0 ? TwinNode.Empty : new TwinNode([.. members], default);
        }

        // Copies an array without its white space.
        private int Array(ref Utf8JsonReader reader, Utf8JsonWriter writer, int depth)
        {
            var size = 0;
            writer.WriteStartArray();
            while (reader.Read() && reader.TokenType is not JsonTokenType.EndArray)
                size += Element(ref reader, writer, depth + 1);
            writer.WriteEndArray();
            return size;
        }

        private int Element(ref Utf8JsonReader reader, Utf8JsonWriter writer, int depth)
        {
            switch (reader.TokenType)
            {
                case JsonTokenType.StartArray:
                    CheckDepth(depth);
                    return Array(ref reader, writer, depth);
                case JsonTokenType.StartObject:
                    CheckDepth(depth);
                    break;
                default:
                    writer.WriteRawValue(Raw(reader), skipInputValidation: true);
                    return reader.TokenType is JsonTokenType.Null ? 0 : Scalar(ref reader);
            }

            var size = 0;
            HashSet<string>? names = isTrusted ? null : new(StringComparer.Ordinal);
            writer.WriteStartObject();
            while (reader.Read() && reader.TokenType is JsonTokenType.PropertyName)
            {
                var name = Name(ref reader, names, depth);
                writer.WritePropertyName(name);
                size += Encoding.UTF8.GetByteCount(name);
                reader.Read();
                _path.Add(name);
                size += Element(ref reader, writer, depth + 1);
                _path.RemoveAt(_path.Count - 1);
            }

            writer.WriteEndObject();
            return size;
        }

        private string Name(ref Utf8JsonReader reader, HashSet<string>? names, int depth)
        {
            var name = reader.GetString()!;
            if (isTrusted)
                return name;
            if (depth == 0 && ignoresHubNames && name is "$metadata" or "$version")
                return name;

            if (name.Length == 0)
                throw Wrong("a key is empty");
            if (Encoding.UTF8.GetByteCount(name) is var bytes and > TwinLimits.MaxKeyBytes)
                throw Wrong($"the key '{Printed(name)}' has {bytes} bytes; at most {TwinLimits.MaxKeyBytes} are allowed");
            foreach (var c in name)
            {
                if (c is '.' or '$' or ' ' || char.IsControl(c))
                    throw Wrong($"the key '{Printed(name)}' has a character that is not allowed: '.', '$', a space or a control character");
            }

            return names is null || names.Add(name) ? name : throw Twice(name);
        }

        private static bool IsThere(List<TwinMember> members, string name)
        {
            foreach (var member in members)
            {
                if (member.Name == name)
                    return true;
            }

            return false;
        }

        private HubException Twice(string name) => Wrong($"the key '{Printed(name)}' is there twice");

        private int Scalar(ref Utf8JsonReader reader) => reader.TokenType switch
        {
            JsonTokenType.String => Text(ref reader),
            JsonTokenType.Number => Number(ref reader),
            _ => sizeof(int), // true or false
        };

        private int Text(ref Utf8JsonReader reader)
        {
            var bytes = reader.ValueSpan.Length;
            var controls = 0;
            if (reader.ValueIsEscaped || reader.ValueSpan.Contains((byte)0xC2)) // C1 controls begin with it.
            {
                var text = reader.GetString()!;
                bytes = Encoding.UTF8.GetByteCount(text);
                foreach (var c in text)
                    controls += !char.IsControl(c) ? 0 : c < 0x80 ? 1 : 2;
            }

            if (bytes > TwinLimits.MaxStringBytes && !isTrusted)
                throw Wrong($"the text has {bytes} bytes; at most {TwinLimits.MaxStringBytes} are allowed");
            return bytes - controls;
        }

        private int Number(ref Utf8JsonReader reader)
        {
            var text = reader.ValueSpan;
            if (isTrusted)
                return sizeof(double);
            if (text.Length > TwinLimits.MaxNumberLength)
                throw Wrong($"the number has {text.Length} characters; at most {TwinLimits.MaxNumberLength} are allowed");

            var isInteger = text.IndexOfAny("eE."u8) < 0;
            if (isInteger && (!reader.TryGetInt64(out var integer) || integer is < TwinLimits.MinInteger or > TwinLimits.MaxInteger))
                throw Wrong($"the integer is not within {TwinLimits.MinInteger} to {TwinLimits.MaxInteger}");
            if (!isInteger && (!reader.TryGetDouble(out var real) || !double.IsFinite(real)))
                throw Wrong("the number is too large");
            return sizeof(double);
        }

        private void CheckDepth(int depth)
        {
            if (depth > TwinLimits.MaxDepth && !isTrusted)
                throw Wrong($"objects and arrays are {depth} deep; at most {TwinLimits.MaxDepth} are allowed");
        }

        // The token as it was sent; strings with their quotes.
        private static ReadOnlySpan<byte> Raw(in Utf8JsonReader reader) => reader.TokenType switch
        {
            JsonTokenType.String => Quoted(reader.ValueSpan),
            _ => reader.ValueSpan,
        };

        private static byte[] Quoted(ReadOnlySpan<byte> text) => [(byte)'"', .. text, (byte)'"'];

        private HubException Wrong(string what)
        {
            var path = new StringBuilder(limits.Path);
            foreach (var name in _path)
                path.Append('.').Append(Printed(name));
            return new HubException(HubErrors.ArgumentInvalid, $"{path}: {what}");
        }

        private static string Printed(string name) =>
            string.Create(Math.Min(name.Length, MaxPrinted), name, static (chars, text) =>
            {
                for (var i = 0; i < chars.Length; i++)
                    chars[i] = char.IsControl(text[i]) || char.IsSurrogate(text[i]) ? '?' : text[i];
            });
    }
}
