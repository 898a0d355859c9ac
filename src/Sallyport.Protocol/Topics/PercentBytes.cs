namespace Sallyport.Protocol.Topics;

/// <summary>Percent-encoding of RFC 3986 on bytes. Only <c>%xx</c> is touched; <c>+</c> stays.</summary>
internal static class PercentBytes
{
    /// <summary>Decodes <paramref name="text"/>; without a <c>%</c> it stays the slice it is.</summary>
    /// <param name="scratch">Takes the decoded bytes and shrinks by them.</param>
    /// <returns>False when a <c>%</c> is not followed by two hex digits.</returns>
    public static bool TryDecode(ref ReadOnlySpan<byte> text, ref Span<byte> scratch)
    {
        var percent = text.IndexOf((byte)'%');
        if (percent < 0)
            return true;

        var length = 0;
        for (var at = 0; at < text.Length; at++)
        {
            var b = text[at];
            if (b == '%')
            {
                if (at + 2 >= text.Length || !char.IsAsciiHexDigit((char)text[at + 1]) || !char.IsAsciiHexDigit((char)text[at + 2]))
                    return false;

                b = (byte)((Nibble(text[at + 1]) << 4) | Nibble(text[at + 2]));
                at += 2;
            }

            scratch[length++] = b;
        }

        text = scratch[..length];
        scratch = scratch[length..];
        return true;
    }

    private static int Nibble(byte hex) => hex <= '9' ? hex - '0' : (hex | 0x20) - 'a' + 10;
}
