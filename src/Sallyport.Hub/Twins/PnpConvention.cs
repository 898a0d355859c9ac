using Sallyport.Protocol.Twins;

namespace Sallyport.Hub.Twins;

/// <summary>How components and acknowledgements look in a twin ("IoT Plug and Play conventions").</summary>
internal static class PnpConvention
{
    /// <summary>The member that marks an object in a twin as a component.</summary>
    public const string Mark = "__t";

    public const string ComponentMark = "c";

    /// <summary>A component without properties.</summary>
    public static readonly TwinNode NewComponent = TwinReader.Read("""{"__t":"c"}"""u8, TwinLimits.Desired);

    public static bool IsComponent(TwinNode? node) => node?[Mark] is { IsObject: false } mark && mark.Json.SequenceEqual("\"c\""u8);

    /// <summary>What a device reports of a property that can be written: the value, and which version it acknowledges how. Null: it is a plain value.</summary>
    public static Acknowledgement? AcknowledgementOf(TwinNode reported) =>
        reported["value"] is { } value && (reported["ac"] ?? reported["av"]) is not null
            ? new Acknowledgement(value, reported["av"], reported["ac"], reported["ad"])
            : null;

    public sealed record Acknowledgement(TwinNode Value, TwinNode? Version, TwinNode? Code, TwinNode? Description);
}
