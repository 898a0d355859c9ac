using System.Buffers;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace Sallyport.Protocol.Twins;

/// <summary>
/// Makes JSON without white space, escaping no more than it must, with a writer that each thread keeps: one made for each text costs more than most texts do. Thread-safe; a text may be made
/// within another.
/// </summary>
public static class CompactJson
{
    // A twin and its $metadata have 3.5 KB; what a larger text needed is not kept.
    private const int MaxKeptBytes = 64 * 1024;

    public static readonly JsonWriterOptions Options = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, SkipValidation = true };

    [ThreadStatic]
    private static Scratch? _kept;

    /// <returns>What <paramref name="write"/> wrote.</returns>
    public static byte[] Write<T>(T state, Action<Utf8JsonWriter, T> write)
    {
        var scratch = _kept ?? new Scratch();
        _kept = null;
        write(scratch.Json, state);
        scratch.Json.Flush();
        var text = scratch.Text.WrittenSpan.ToArray();
        if (scratch.Text.Capacity <= MaxKeptBytes)
        {
            scratch.Text.ResetWrittenCount();
            scratch.Json.Reset();
            _kept = scratch;
        }

        return text;
    }

    private sealed class Scratch
    {
        public Scratch() => Json = new Utf8JsonWriter(Text, Options);

        public ArrayBufferWriter<byte> Text { get; } = new(4096);

        public Utf8JsonWriter Json { get; }
    }
}
