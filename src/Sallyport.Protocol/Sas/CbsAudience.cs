namespace Sallyport.Protocol.Sas;

/// <summary>
/// The <c>name</c> of a CBS put-token request (AMQP Claims-based Security, 4.1) as clients write it: percent-encoded whole (Node:
/// <c>hub%2Fdevices%2Fd1</c>) or not (C: <c>hub/devices/d1</c>; C# encodes the ids alone), with scheme, port and a slash at the end or without.
/// </summary>
public static class CbsAudience
{
    /// <summary>The greatest length that is read, in characters.</summary>
    public const int MaxLength = 2048;

    /// <summary>Reads host and path; never throws, whatever the text.</summary>
    /// <param name="host">Without scheme and port.</param>
    /// <param name="path">Without slash at either end; ids in it may be percent-encoded. Empty when there is none.</param>
    public static bool TryRead(ReadOnlySpan<char> name, out string host, out string path)
    {
        host = path = "";
        if (name.Length > MaxLength)
            return false;

        Span<char> buffer = stackalloc char[name.Length];
        scoped var text = name;
        if (!name.Contains('/'))
        {
            if (!PercentText.TryDecode(name, buffer, out var length))
                return false;

            text = buffer[..length];
        }

        if (!SasResource.TryRead(text, out var resource))
            return false;

        host = resource.Host.ToString();
        path = resource.Path.ToString();
        return true;
    }
}
