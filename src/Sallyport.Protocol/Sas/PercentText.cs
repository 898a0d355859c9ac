using System.Globalization;

namespace Sallyport.Protocol.Sas;

/// <summary>Percent-encoding within a token: ASCII on both sides, hex digits of either case, <c>+</c> stands for itself.</summary>
internal static class PercentText
{
    /// <summary>
    /// Decodes once. False when an escape is cut short or not hex, when it stands for something other than printable ASCII,
    /// or when <paramref name="decoded"/> is too small.
    /// </summary>
    public static bool TryDecode(ReadOnlySpan<char> text, Span<char> decoded, out int length)
    {
        length = 0;
        for (var at = 0; at < text.Length; at++)
        {
            var c = text[at];
            if (c == '%')
            {
                if (at + 2 >= text.Length
                    || !byte.TryParse(text.Slice(at + 1, 2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var value))
                {
                    return false;
                }

                c = (char)value;
                at += 2;
            }

            if (c is < '!' or > '~' || length == decoded.Length)
                return false;

            decoded[length++] = c;
        }

        return true;
    }
}
