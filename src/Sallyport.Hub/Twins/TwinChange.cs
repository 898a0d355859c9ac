using System.Text.Json;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Twins;

namespace Sallyport.Hub.Twins;

/// <summary>What a service changes of a twin. Immutable.</summary>
/// <param name="Replaces">What is given takes the place of what there was; else it is merged.</param>
/// <param name="Tags">Null: the tags stay as they are.</param>
/// <param name="Desired">Null: the desired properties stay as they are.</param>
public sealed record TwinChange(bool Replaces, TwinNode? Tags, TwinNode? Desired)
{
    /// <summary>
    /// Reads the twin that a request gives: <c>tags</c> and <c>properties.desired</c> of it. What is the hub's or the device's (reported
    /// properties, <c>$metadata</c>, <c>version</c>, status) is passed over: SDKs send a twin back as they read it.
    /// </summary>
    /// <exception cref="HubException">400: it is not JSON, no twin, or against a rule.</exception>
    public static TwinChange Read(ReadOnlySpan<byte> json, bool replaces)
    {
        if (!System.Text.Unicode.Utf8.IsValid(json))
            throw new HubException(HubErrors.FormatError, "the body is not valid UTF-8");

        try
        {
            var reader = new Utf8JsonReader(json);
            TwinNode? tags = null, desired = null;
            var seen = (Tags: false, Properties: false, Desired: false);
            Begin(ref reader, "the body");
            while (Next(ref reader))
            {
                if (reader.ValueTextEquals("tags"u8))
                {
                    Once(ref seen.Tags, "tags");
                    tags = Part(json, ref reader, TwinLimits.Tags);
                }
                else if (reader.ValueTextEquals("properties"u8))
                {
                    Once(ref seen.Properties, "properties");
                    reader.Read();
                    if (reader.TokenType is JsonTokenType.Null)
                        continue;
                    if (reader.TokenType is not JsonTokenType.StartObject)
                        throw new HubException(HubErrors.ArgumentInvalid, "properties: an object is needed");
                    while (Next(ref reader))
                    {
                        if (reader.ValueTextEquals("desired"u8))
                        {
                            Once(ref seen.Desired, "properties.desired");
                            desired = Part(json, ref reader, TwinLimits.Desired);
                        }
                        else
                        {
                            reader.Skip();
                        }
                    }
                }
                else
                {
                    reader.Skip();
                }
            }

            reader.Read(); // Throws when something follows.
            return new TwinChange(replaces, tags, desired);
        }
        catch (JsonException e)
        {
            throw new HubException(HubErrors.FormatError, $"the body is not the JSON of a twin: line {e.LineNumber + 1 ?? 1}, byte {e.BytePositionInLine + 1 ?? 1}");
        }
        catch (InvalidOperationException)
        {
            throw new HubException(HubErrors.FormatError, "the body: a name with half a surrogate pair");
        }
    }

    private static void Begin(ref Utf8JsonReader reader, string what)
    {
        reader.Read();
        if (reader.TokenType is not JsonTokenType.StartObject)
            throw new HubException(HubErrors.ArgumentInvalid, $"{what}: an object is needed");
    }

    private static bool Next(ref Utf8JsonReader reader) => reader.Read() && reader.TokenType is JsonTokenType.PropertyName;

    private static void Once(ref bool seen, string name)
    {
        if (seen)
            throw new HubException(HubErrors.ArgumentInvalid, $"{name}: is there twice");
        seen = true;
    }

    // Null is no part: it changes nothing of it.
    private static TwinNode? Part(ReadOnlySpan<byte> json, ref Utf8JsonReader reader, TwinLimits limits)
    {
        reader.Read();
        if (reader.TokenType is JsonTokenType.Null)
            return null;

        var start = (int)reader.TokenStartIndex;
        reader.Skip();
        return TwinReader.Read(json[start..(int)reader.BytesConsumed], limits, ignoresHubNames: true);
    }
}
