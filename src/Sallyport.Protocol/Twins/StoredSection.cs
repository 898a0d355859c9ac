using System.Buffers;
using System.Globalization;
using System.Text.Json;

namespace Sallyport.Protocol.Twins;

/// <summary>
/// Writes desired or reported properties as a service sees them, out of what <see cref="TwinSection.EncodeJson"/> and <see cref="TwinSection.EncodeStamps"/> made, without making the tree:
/// a page of a query has a thousand twins. The same bytes as <see cref="TwinSection.WriteTo"/>, which a test compares. Pure.
/// </summary>
public static class StoredSection
{
    private const int TimeBytes = 28;

    // {"$lastUpdated":"","$lastUpdatedVersion":} and a comma, the time, the longest number.
    private const int StampBytes = 43 + TimeBytes + 20;

    /// <param name="json">An object without white space.</param>
    /// <exception cref="FormatException">The two do not belong together.</exception>
    public static void Write(Utf8JsonWriter target, ReadOnlySpan<byte> json, ReadOnlySpan<byte> stamps, long version)
    {
        // Each value has a stamp of nine bytes or more, and its name is written once more.
        var whole = ArrayPool<byte>.Shared.Rent((2 * json.Length) + (StampBytes * ((stamps.Length / 9) + 1)) + 64);
        try
        {
            var text = new Text(whole, stamps);
            text.Append(json[..^1]);
            text.Append(json.Length > 2 ? ",\"$metadata\":"u8 : "\"$metadata\":"u8);
            var reader = new Utf8JsonReader(json);
            reader.Read();
            text.Metadata(ref reader);
            text.Append(",\"$version\":"u8);
            text.Append(version);
            text.Append("}"u8);
            target.WriteRawValue(text.Written, skipInputValidation: true);
        }
        catch (Exception e) when (e is JsonException or ArgumentException or IndexOutOfRangeException)
        {
            throw new FormatException("a stored twin is not JSON, or has other stamps than values", e);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(whole);
        }
    }

    private ref struct Text
    {
        private readonly Span<byte> _target;
        private ReadOnlySpan<byte> _stamps;
        private DateTime _last;
        private int _lastAt;
        private int _length;

        public Text(Span<byte> target, ReadOnlySpan<byte> stamps)
        {
            _target = target;
            _stamps = TwinSection.StampsOf(stamps);
        }

        public readonly ReadOnlySpan<byte> Written => _stamps.IsEmpty ? _target[.._length] : throw new FormatException("a twin has more stamps than values");

        public void Append(scoped ReadOnlySpan<byte> bytes)
        {
            bytes.CopyTo(_target[_length..]);
            _length += bytes.Length;
        }

        public void Append(long number)
        {
            number.TryFormat(_target[_length..], out var digits, provider: CultureInfo.InvariantCulture);
            _length += digits;
        }

        public void Metadata(ref Utf8JsonReader reader)
        {
            var stamp = TwinSection.NextStamp(ref _stamps);
            Append("{\"$lastUpdated\":\""u8);
            Append(stamp.Time);
            Append("\",\"$lastUpdatedVersion\":"u8);
            Append(stamp.Version);
            if (reader.TokenType is JsonTokenType.StartObject)
            {
                while (reader.Read() && reader.TokenType is JsonTokenType.PropertyName)
                {
                    // As it is there: what had to be escaped is.
                    Append(",\""u8);
                    Append(reader.ValueSpan);
                    Append("\":"u8);
                    reader.Read();
                    Metadata(ref reader);
                }
            }
            else
            {
                reader.Skip();
            }

            Append("}"u8);
        }

        // Most values of a twin were written together: their time is copied.
        private void Append(DateTime time)
        {
            if (_lastAt > 0 && time == _last)
            {
                Append(_target.Slice(_lastAt, TimeBytes));
                return;
            }

            (_last, _lastAt) = (time, _length);
            _length += TwinTime.Write(time, _target[_length..]);
        }
    }
}
