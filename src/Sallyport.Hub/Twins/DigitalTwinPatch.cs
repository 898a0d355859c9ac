using System.Buffers;
using System.Runtime.InteropServices;
using System.Text.Json;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Twins;

namespace Sallyport.Hub.Twins;

/// <summary>An operation of a JSON Patch (RFC 6902), as it was sent.</summary>
/// <param name="Op"><c>add</c>, <c>replace</c> or <c>remove</c>.</param>
/// <param name="Path"><c>/property</c>, <c>/component</c> or <c>/component/property</c>.</param>
/// <param name="Value">What is wanted; of a component an object with the member <c>"$metadata": {}</c>.</param>
public sealed record DigitalTwinOperation(string? Op, string? Path, JsonElement? Value);

/// <summary>
/// What a service changes of a digital twin: wanted values of properties of the device itself or of its components ("Manage IoT Plug and Play
/// digital twins"). They are desired properties of the twin, those of a component under its name and the mark <c>"__t": "c"</c>.
/// Immutable; thread-safe.
/// </summary>
public sealed class DigitalTwinPatch
{
    /// <summary>Ours: a patch is decided while other changes of twins wait.</summary>
    public const int MaxOperations = 128;

    private readonly Step[] _steps;

    private DigitalTwinPatch(Step[] steps) => _steps = steps;

    private enum Op
    {
        Add,
        Replace,
        Remove,
    }

    private enum Kind
    {
        Nothing,
        Property,
        Component,
    }

    /// <summary>Reads a patch. What depends on the twin is found by <see cref="ChangeOf"/>.</summary>
    /// <exception cref="HubException">400: an operation is none, or against a rule of twins; the message names it.</exception>
    public static DigitalTwinPatch Read(IReadOnlyList<DigitalTwinOperation?> operations)
    {
        if (operations.Count > MaxOperations)
            throw new HubException(HubErrors.ArgumentInvalid, $"the patch has {operations.Count} operations; at most {MaxOperations} are allowed");

        var steps = new Step[operations.Count];
        for (var i = 0; i < steps.Length; i++)
            steps[i] = ReadStep(i, operations[i] ?? throw Wrong(i, "an object is needed"));
        return new DigitalTwinPatch(steps);
    }

    /// <summary>What it changes of a twin: a patch of the desired properties, with null for what goes.</summary>
    /// <param name="desired">As they are.</param>
    /// <param name="reported">As they are: they say what exists, and what is a component.</param>
    /// <exception cref="HubException">400: what an operation names is not there, or is something else; the message names it.</exception>
    internal TwinChange ChangeOf(TwinNode desired, TwinNode reported)
    {
        var after = desired;
        var touched = new Dictionary<string, HashSet<string>?>(StringComparer.Ordinal);
        foreach (var step in _steps)
        {
            after = step.Member is null ? ApplyWhole(step, after, reported) : ApplyMember(step, step.Member, after, reported);
            if (step.Member is null)
                touched[step.Name] = null;
            else if (!touched.TryGetValue(step.Name, out var members))
                touched[step.Name] = [step.Member];
            else
                members?.Add(step.Member);
        }

        var patch = TwinNode.Empty;
        foreach (var (name, members) in touched)
        {
            if (PatchOf(desired[name], after[name], members) is { } part)
                patch = patch.With(name, part);
        }

        return new TwinChange(Replaces: false, Tags: null, patch);
    }

    // A property of the device, or a component as a whole.
    private static TwinNode ApplyWhole(Step step, TwinNode desired, TwinNode reported)
    {
        var kind = KindOf(step.Name, desired, reported);
        if (step.Op is not Op.Add && kind is Kind.Nothing)
            throw Wrong(step.Index, $"{step.Path}: there is nothing of that name");
        if (step.Op is Op.Remove)
            return desired.With(step.Name, null);
        if (step.IsComponent && kind is Kind.Property)
            throw Wrong(step.Index, $"{step.Path}: is a property in the device's twin, and no component");
        if (!step.IsComponent && kind is Kind.Component)
            throw Wrong(step.Index, $"{step.Path}: is a component: its value is an object with the member \"$metadata\": {{}}");

        return desired.With(step.Name, step.Value);
    }

    private static TwinNode ApplyMember(Step step, string member, TwinNode desired, TwinNode reported)
    {
        switch (KindOf(step.Name, desired, reported))
        {
            case Kind.Nothing:
                throw Wrong(step.Index, $"{step.Path}: there is no component '{step.Name}'; add it with a value that has the member \"$metadata\": {{}}");
            case Kind.Property:
                throw Wrong(step.Index, $"{step.Path}: '{step.Name}' is a property and no component; its value is replaced as a whole");
        }

        var component = desired[step.Name];
        if (step.Op is not Op.Add && component?[member] is null && reported[step.Name]?[member] is null)
            throw Wrong(step.Index, $"{step.Path}: there is nothing of that name");
        if (step.Op is not Op.Remove)
            return desired.With(step.Name, (PnpConvention.IsComponent(component) ? component! : PnpConvention.NewComponent).With(member, step.Value));
        if (component is not { IsObject: true })
            return desired;

        // A component of which nothing is wanted any more goes.
        component = component.With(member, null);
        return desired.With(step.Name, component.Members is [] or [{ Name: PnpConvention.Mark }] ? null : component);
    }

    private static Kind KindOf(string name, TwinNode desired, TwinNode reported)
    {
        var (wanted, told) = (desired[name], reported[name]);
        if (PnpConvention.IsComponent(wanted) || PnpConvention.IsComponent(told))
            return Kind.Component;
        return wanted is null && told is null ? Kind.Nothing : Kind.Property;
    }

    // What was named is patched also where it stays as it was: its version grows, and the device is told again.
    private static TwinNode? PatchOf(TwinNode? before, TwinNode? after, HashSet<string>? members)
    {
        if (after is null)
            return before is null ? null : TwinNode.Null;
        if (members is null || !PnpConvention.IsComponent(before))
            return before is null ? after : TwinNode.Replacement(before, after);

        var part = TwinNode.Empty;
        foreach (var member in members)
        {
            if (PatchOf(before![member], after[member], members: null) is { } value)
                part = part.With(member, value);
        }

        return part;
    }

    private static Step ReadStep(int index, DigitalTwinOperation operation)
    {
        var op = operation.Op switch
        {
            "add" => Op.Add,
            "replace" => Op.Replace,
            "remove" => Op.Remove,
            _ => throw Wrong(index, "op: add, replace or remove is needed"),
        };
        var (name, member) = ReadPath(index, operation.Path);
        if (op is Op.Remove)
        {
            Checked(name, member, "null"u8);
            return new Step(index, op, name, member, null, IsComponent: false);
        }

        if (operation.Value is not { ValueKind: not (JsonValueKind.Null or JsonValueKind.Undefined) } value)
            throw Wrong(index, "value: is missing or null; use remove");

        var isComponent = member is null && value.ValueKind is JsonValueKind.Object && value.TryGetProperty("$metadata", out _);
        if (value.ValueKind is JsonValueKind.Object && !isComponent && value.TryGetProperty(PnpConvention.Mark, out _))
            throw Wrong(index, $"value: {PnpConvention.Mark} is the mark of a component, which has the member \"$metadata\": {{}} instead");
        var node = Checked(name, member, isComponent ? ComponentOf(index, value) : JsonMarshal.GetRawUtf8Value(value));
        return new Step(index, op, name, member, node, isComponent);
    }

    private static (string Name, string? Member) ReadPath(int index, string? path)
    {
        if (path is not ['/', ..])
            throw Wrong(index, "path: /property, /component or /component/property is needed");

        var parts = path[1..].Split('/');
        for (var i = 0; i < parts.Length; i++)
        {
            // RFC 6901, 4: ~1 is /, and then ~0 is ~.
            if (parts[i].Replace("~0", "", StringComparison.Ordinal).Replace("~1", "", StringComparison.Ordinal).Contains('~', StringComparison.Ordinal))
                throw Wrong(index, "path: after ~ comes 0 or 1");
            parts[i] = parts[i].Replace("~1", "/", StringComparison.Ordinal).Replace("~0", "~", StringComparison.Ordinal);
        }

        if (parts.Contains(PnpConvention.Mark))
            throw Wrong(index, $"path: {PnpConvention.Mark} is the hub's");
        return parts switch
        {
            [var name] => (name, null),
            [var name, var member] => (name, member),
            _ => throw Wrong(index, "path: is deeper than a property; a property's value is replaced as a whole"),
        };
    }

    // The members of the value but $metadata, and the mark.
    private static ReadOnlySpan<byte> ComponentOf(int index, JsonElement value)
    {
        var text = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(text, TwinJson.Options))
        {
            json.WriteStartObject();
            json.WriteString(PnpConvention.Mark, PnpConvention.ComponentMark);
            foreach (var member in value.EnumerateObject())
            {
                if (member.NameEquals("$metadata"))
                {
                    if (member.Value.ValueKind is not JsonValueKind.Object || member.Value.GetPropertyCount() > 0)
                        throw Wrong(index, "value: $metadata of a component is the empty object {}");
                }
                else if (member.NameEquals(PnpConvention.Mark))
                {
                    throw Wrong(index, $"value: {PnpConvention.Mark} is the hub's");
                }
                else if (member.Value.ValueKind is JsonValueKind.Null)
                {
                    throw Wrong(index, "value: a property of the component is null; leave it out");
                }
                else
                {
                    json.WritePropertyName(member.Name);
                    json.WriteRawValue(JsonMarshal.GetRawUtf8Value(member.Value), skipInputValidation: true);
                }
            }

            json.WriteEndObject();
        }

        return text.WrittenSpan;
    }

    // By the rules of twins, at its place in the twin, which is what their errors name.
    private static TwinNode Checked(string name, string? member, ReadOnlySpan<byte> value)
    {
        var text = new ArrayBufferWriter<byte>(value.Length + 64);
        using (var json = new Utf8JsonWriter(text, TwinJson.Options))
        {
            json.WriteStartObject();
            json.WritePropertyName(name);
            if (member is not null)
            {
                json.WriteStartObject();
                json.WritePropertyName(member);
            }

            json.WriteRawValue(value, skipInputValidation: true);
            if (member is not null)
                json.WriteEndObject();
            json.WriteEndObject();
        }

        var node = TwinReader.Read(text.WrittenSpan, TwinLimits.Desired)[name]!;
        return member is null ? node : node[member]!;
    }

    private static HubException Wrong(int index, string what) => new(HubErrors.ArgumentInvalid, $"operation {index}: {what}");

    private sealed record Step(int Index, Op Op, string Name, string? Member, TwinNode? Value, bool IsComponent)
    {
        // Only what TwinReader has let through, so it can be printed; cut, because it may be long.
        public string Path => Shown(Member is null ? $"/{Name}" : $"/{Name}/{Member}");

        private static string Shown(string path) => path.Length <= 128 ? path : $"{path[..128]}…";
    }
}
