using System.Text.Json;
using Sallyport.Protocol.Twins;

namespace Sallyport.Hub.Twins;

/// <summary>
/// A twin as the digital twin that IoT Hub shows of a plug-and-play device: one value per property and, in <c>$metadata</c>, what is wanted of it and
/// what the device said to that; components as objects with a <c>$metadata</c> of their own ("Understand IoT Plug and Play digital twins").
/// </summary>
public static class DigitalTwinJson
{
    public static byte[] Encode(TwinState state) => TwinJson.Write(1024, json =>
    {
        var twin = state.Twin;
        json.WriteStartObject();
        json.WriteString("$dtId", twin.DeviceId);
        WriteProperties(json, twin.Reported.Section().Root, twin.Desired.Section().Root, twin.ModelId ?? "");
        json.WriteEndObject();
    });

    // Of the device (with a model) or of a component (null): a component holds no components.
    private static void WriteProperties(Utf8JsonWriter json, TwinNode reported, TwinNode desired, string? model)
    {
        var properties = Join(reported, desired);
        foreach (var (name, property) in properties)
        {
            if (model is not null && property.IsComponent)
            {
                json.WriteStartObject(name);
                WriteProperties(json, property.Reported ?? TwinNode.Empty, property.Desired ?? TwinNode.Empty, model: null);
                json.WriteEndObject();
            }
            else if (property.Reported is { } told)
            {
                json.WritePropertyName(name);
                (PnpConvention.AcknowledgementOf(told)?.Value ?? told).WriteTo(json);
            }
        }

        json.WriteStartObject("$metadata");
        if (model is not null)
            json.WriteString("$model", model);
        foreach (var (name, property) in properties)
        {
            if (model is null || !property.IsComponent)
                WriteMetadata(json, name, property);
        }

        json.WriteEndObject();
    }

    private static void WriteMetadata(Utf8JsonWriter json, string name, Property property)
    {
        json.WriteStartObject(name);
        if (property.Desired is { } desired)
        {
            json.WritePropertyName("desiredValue"u8);
            desired.WriteTo(json);
            json.WriteNumber("desiredVersion"u8, desired.Stamp.Version);
        }

        if (property.Reported is { } reported)
        {
            if (PnpConvention.AcknowledgementOf(reported) is { } acknowledged)
            {
                Write(json, "ackVersion", acknowledged.Version);
                Write(json, "ackCode", acknowledged.Code);
                Write(json, "ackDescription", acknowledged.Description);
            }

            json.WriteString("lastUpdateTime"u8, TwinTime.Text(reported.Stamp.Time));
        }

        json.WriteEndObject();
    }

    private static void Write(Utf8JsonWriter json, string name, TwinNode? value)
    {
        if (value is null)
            return;

        json.WritePropertyName(name);
        value.WriteTo(json);
    }

    // What the device tells first, then what is only wanted, each in its order.
    private static List<(string Name, Property Property)> Join(TwinNode reported, TwinNode desired)
    {
        var wanted = new Dictionary<string, TwinNode>(StringComparer.Ordinal);
        foreach (var (name, value) in desired.Members)
            wanted.Add(name, value);

        List<(string, Property)> properties = [];
        foreach (var (name, value) in reported.Members)
        {
            wanted.Remove(name, out var also);
            if (name != PnpConvention.Mark)
                properties.Add((name, new Property(value, also)));
        }

        foreach (var (name, value) in desired.Members)
        {
            if (name != PnpConvention.Mark && wanted.ContainsKey(name))
                properties.Add((name, new Property(null, value)));
        }

        return properties;
    }

    private sealed record Property(TwinNode? Reported, TwinNode? Desired)
    {
        public bool IsComponent { get; } = PnpConvention.IsComponent(Reported) || PnpConvention.IsComponent(Desired);
    }
}
