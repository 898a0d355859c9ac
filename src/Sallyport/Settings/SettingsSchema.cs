using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Sallyport.Settings;

/// <summary>The JSON schema of <c>sallyport.json</c>, written from <see cref="AllSettings"/>; shipped as <c>sallyport.schema.json</c>.</summary>
internal static class SettingsSchema
{
    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    public static string Write()
    {
        var sections = new JsonObject { ["$schema"] = new JsonObject { ["type"] = "string" } };
        foreach (var section in AllSettings.Table.GroupBy(setting => setting.Section))
        {
            var properties = new JsonObject();
            foreach (var setting in section)
            {
                var shape = setting.Shape.DeepClone().AsObject();
                shape["description"] = setting.Description;
                properties[setting.Name] = shape;
            }

            sections[section.Key] = new JsonObject { ["type"] = "object", ["additionalProperties"] = false, ["properties"] = properties };
        }

        var schema = new JsonObject
        {
            ["$schema"] = "https://json-schema.org/draft/2020-12/schema",
            ["title"] = "Settings of a Sallyport hub",
            ["type"] = "object",
            ["additionalProperties"] = false,
            ["properties"] = sections,
        };
        return schema.ToJsonString(Indented) + "\n";
    }
}
