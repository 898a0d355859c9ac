using System.Text;
using Sallyport.Hub.Access;
using Sallyport.Hub.Audit;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Messages;

namespace Sallyport.Hub.Physical;

/// <summary>What a device says of itself when it was opened: an application property with this value. Immutable.</summary>
public sealed class TamperProperty
{
    private readonly byte[] _name;
    private readonly byte[] _value;

    private TamperProperty(string text, int equals)
    {
        Text = text;
        _name = Encoding.UTF8.GetBytes(text[..equals]);
        _value = Encoding.UTF8.GetBytes(text[(equals + 1)..]);
    }

    /// <summary><c>name=value</c>.</summary>
    public string Text { get; }

    /// <summary>Reads <c>name=value</c>; the name is not empty, the value may be. Null when it is neither.</summary>
    public static TamperProperty? TryParse(string text) => text.IndexOf('=', StringComparison.Ordinal) is > 0 and var equals ? new TamperProperty(text, equals) : null;

    internal bool IsIn(MessageProperties properties)
    {
        for (var i = 0; i < properties.Count; i++)
        {
            if (properties.Name(i).SequenceEqual(_name) && properties.Value(i).SequenceEqual(_value))
                return true;
        }

        return false;
    }
}

/// <summary>
/// Puts a device into quarantine when it declares that it was tampered with. The declaring message goes to quarantine too, with what arrived in
/// the same batch before it. Thread-safe.
/// </summary>
/// <param name="properties">Any of them declares it; none: nothing does.</param>
public sealed class TamperRule(Quarantine quarantine, IReadOnlyList<TamperProperty> properties)
{
    public const string Name = "rule:tamper";

    /// <summary>The property of a message that declares it; null when none does. Costs nothing where no property is declared.</summary>
    internal string? Declared(MessageProperties message)
    {
        foreach (var property in properties)
        {
            if (property.IsIn(message))
                return property.Text;
        }

        return null;
    }

    /// <summary>Completes when the device is in quarantine, durably.</summary>
    /// <exception cref="HubException">It could not be recorded or stored: the message must not be taken.</exception>
    internal async ValueTask ActAsync(Identity identity, Principal principal, string declared, CancellationToken cancel) =>
        await quarantine.PlaceAsync(
            new Actor(Name, principal.CredentialFingerprint, Rights.None, "", ""), identity.DeviceId, $"{identity} declared {declared}", cancel).ConfigureAwait(false);
}
