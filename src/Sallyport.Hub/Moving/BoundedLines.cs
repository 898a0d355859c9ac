namespace Sallyport.Hub.Moving;

/// <summary>A line of a file.</summary>
/// <param name="Number">From 1.</param>
/// <param name="Text">Without its end; valid until the next one is asked for. Empty when it was too long.</param>
/// <param name="Bytes">How many bytes of the file were read up to its end.</param>
public readonly record struct BoundedLine(long Number, ReadOnlyMemory<byte> Text, bool IsTooLong, long Bytes);

/// <summary>
/// Reads a file line by line, whatever is in it, in the memory of one line: a longer one is passed over and said to be too long. Lines end with LF or
/// CR LF. Not thread-safe.
/// </summary>
public sealed class BoundedLines(Stream file, int maxLineBytes)
{
    private const int FirstBufferBytes = 64 * 1024;

    private byte[] _buffer = new byte[Math.Min(FirstBufferBytes, maxLineBytes + 2)];
    private int _start;
    private int _end;
    private bool _isOver;
    private long _number;
    private long _read;

    /// <summary>The next line; null at the end of the file.</summary>
    /// <exception cref="IOException">The file cannot be read on.</exception>
    public async ValueTask<BoundedLine?> ReadAsync(CancellationToken cancel)
    {
        var isTooLong = false;
        var looked = _start;
        while (true)
        {
            var at = _buffer.AsSpan(looked, _end - looked).IndexOf((byte)'\n');
            if (at >= 0)
                return Take(looked + at, 1, isTooLong);
            if (_isOver)
                return _end > _start || isTooLong ? Take(_end, 0, isTooLong) : null;

            if (_end - _start > maxLineBytes + 1)
            {
                isTooLong = true;
                _start = _end;
            }

            looked = await FillAsync(cancel).ConfigureAwait(false);
        }
    }

    private BoundedLine Take(int end, int mark, bool isTooLong)
    {
        var text = _buffer.AsMemory(_start, end - _start);
        if (text.Span is [.., (byte)'\r'])
            text = text[..^1];
        isTooLong |= text.Length > maxLineBytes;
        _start = end + mark;
        return new BoundedLine(++_number, isTooLong ? default : text, isTooLong, _read - (_end - _start));
    }

    // Where the new bytes begin.
    private async ValueTask<int> FillAsync(CancellationToken cancel)
    {
        if (_start > 0)
        {
            _buffer.AsSpan(_start, _end - _start).CopyTo(_buffer);
            (_start, _end) = (0, _end - _start);
        }
        else if (_end == _buffer.Length)
        {
            Array.Resize(ref _buffer, Math.Min(_buffer.Length * 2, maxLineBytes + 2));
        }

        var before = _end;
        var count = await file.ReadAsync(_buffer.AsMemory(_end), cancel).ConfigureAwait(false);
        _isOver = count == 0;
        _end += count;
        _read += count;
        return before;
    }
}
