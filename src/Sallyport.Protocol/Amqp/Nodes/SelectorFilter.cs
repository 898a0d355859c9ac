using System.Globalization;

namespace Sallyport.Protocol.Amqp.Nodes;

/// <summary>By what a reader says where it begins.</summary>
public enum SelectorKey
{
    Offset,
    SequenceNumber,
    EnqueuedTime,
}

/// <summary>
/// The selector of an Event Hubs receiver: <c>amqp.annotation.x-opt-sequence-number > '100'</c>. Clients write one comparison, quoted or not;
/// the language of selectors has more, which is refused and not half understood.
/// </summary>
/// <param name="IsInclusive"><c>>=</c>: the event with that value too.</param>
/// <param name="Value">A number; of an enqueued time Unix milliseconds. Ignored with <paramref name="IsLatest"/>.</param>
/// <param name="IsLatest"><c>@latest</c>: what comes from now on.</param>
public readonly record struct SelectorFilter(SelectorKey Key, bool IsInclusive, long Value, bool IsLatest)
{
    /// <summary>The key of the filter in a source's filter set.</summary>
    public const string FilterName = "apache.org:selector-filter:string";

    /// <summary>No selector is longer.</summary>
    public const int MaxLength = 256;

    private const string Prefix = "amqp.annotation.";

    /// <summary>Reads a selector.</summary>
    /// <param name="problem">What is wrong with it; null when it was read.</param>
    public static SelectorFilter? TryParse(ReadOnlySpan<char> text, out string? problem)
    {
        problem = "a selector is one comparison: amqp.annotation.x-opt-offset, x-opt-sequence-number or x-opt-enqueued-time, then > or >=, then the value";
        text = text.Trim();
        if (text.Length > MaxLength || !text.StartsWith(Prefix, StringComparison.Ordinal))
            return null;

        text = text[Prefix.Length..];
        var end = text.IndexOfAny(' ', '>');
        if (end < 0 || KeyOf(text[..end]) is not { } key)
            return null;

        text = text[end..].TrimStart();
        if (!text.StartsWith('>'))
            return null;

        var isInclusive = text.StartsWith(">=");
        text = text[(isInclusive ? 2 : 1)..].Trim();
        if (text is ['\'', .., '\''] && text.Length >= 2)
            text = text[1..^1];
        if (text is "@latest" && key != SelectorKey.EnqueuedTime)
        {
            problem = null;
            return new SelectorFilter(key, isInclusive, 0, IsLatest: true);
        }

        if (!long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var value) || value < -1)
        {
            problem = "the value of a selector is a whole number, -1 for the beginning, or @latest";
            return null;
        }

        problem = null;
        return new SelectorFilter(key, isInclusive, value, IsLatest: false);
    }

    /// <summary>The filter set of a source with this selector, an encoded map.</summary>
    public byte[] Encode()
    {
        var target = new byte[FilterName.Length * 2 + MaxLength];
        var writer = new AmqpWriter(target);
        var map = writer.BeginMap();
        writer.Symbol("apache.org:selector-filter:string"u8);
        writer.Descriptor("apache.org:selector-filter:string"u8);
        writer.String(System.Text.Encoding.ASCII.GetBytes(ToString()));
        writer.End(map, 2);
        return target[..writer.Written];
    }

    /// <summary>As <see cref="TryParse"/> reads it.</summary>
    public override string ToString()
    {
        var key = Key switch
        {
            SelectorKey.Offset => "x-opt-offset",
            SelectorKey.SequenceNumber => "x-opt-sequence-number",
            _ => "x-opt-enqueued-time",
        };
        return string.Create(CultureInfo.InvariantCulture, $"{Prefix}{key} >{(IsInclusive ? "=" : "")} '{(IsLatest ? "@latest" : Value.ToString(CultureInfo.InvariantCulture))}'");
    }

    /// <summary>Reads the selector out of a source's filter set (an encoded map); null without <paramref name="problem"/> when there is none.</summary>
    public static SelectorFilter? TryRead(ReadOnlySpan<byte> filters, out string? problem)
    {
        problem = null;
        if (!AmqpMap.Read(filters).TryFind("apache.org:selector-filter:string"u8, out var value))
            return null;

        // Described by the filter's name or number; some clients leave the description out.
        if (value.Type == AmqpType.Described)
        {
            var parts = value.Elements();
            parts.TryRead(out _);
            parts.TryRead(out value);
        }

        if (!value.IsText || value.Content.Length > MaxLength)
        {
            problem = "the selector filter is no text";
            return null;
        }

        return TryParse(System.Text.Encoding.UTF8.GetString(value.Content), out problem);
    }

    private static SelectorKey? KeyOf(ReadOnlySpan<char> name) => name switch
    {
        "x-opt-offset" => SelectorKey.Offset,
        "x-opt-sequence-number" => SelectorKey.SequenceNumber,
        "x-opt-enqueued-time" or "x-opt-enqueuedtimeutc" => SelectorKey.EnqueuedTime,
        _ => null,
    };
}
