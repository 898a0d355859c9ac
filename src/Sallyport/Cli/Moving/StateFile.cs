using System.Runtime.CompilerServices;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Sallyport.Cli.Moving;

/// <summary>A value of a state file.</summary>
/// <param name="Section">Where it is: <c>devices</c>, <c>configurations.admConfigurations</c>, <c>configurations.edgeDeployments</c>; what else the file has is its own section.</param>
/// <param name="Name">Its name there.</param>
internal sealed record StateValue(string Section, string Name, JsonNode? Value);

/// <summary>
/// The file that <c>az iot hub state export</c> writes (azure-iot-cli-extension, <c>providers/state.py</c>): one JSON object with <c>arm</c>,
/// <c>configurations</c> and <c>devices</c>. Read value by value, in the memory of the largest of them.
/// </summary>
internal static class StateFile
{
    public const string Devices = "devices";
    public const string Configurations = "configurations.admConfigurations";
    public const string Deployments = "configurations.edgeDeployments";

    /// <summary>A device with 50 modules and full twins is some 8 MB; an ARM template is less.</summary>
    private const int MaxValueBytes = 32 * 1024 * 1024;

    // Objects whose members are read one by one; every other value is read whole.
    private static readonly HashSet<string> Containers = ["", Devices, "configurations", Configurations, Deployments];

    /// <exception cref="FailedException">The file cannot be read, or is no state file; says where.</exception>
    public static async IAsyncEnumerable<StateValue> ReadAsync(string path, [EnumeratorCancellation] CancellationToken cancel)
    {
        using var file = Open(path);
        var walk = new Walk(path);
        var buffer = new byte[64 * 1024];
        var (start, end, isOver) = (0, 0, false);
        while (true)
        {
            while (walk.Next(buffer.AsSpan(start, end - start), isOver, out var used) is { } value)
            {
                start += used;
                yield return value;
            }

            start += walk.Used;
            if (isOver)
                break;
            if (end - start > MaxValueBytes)
                throw new FailedException($"{path} holds a value of more than {MaxValueBytes} bytes, which no hub has.");
            if (start > 0)
            {
                buffer.AsSpan(start, end - start).CopyTo(buffer);
                (start, end) = (0, end - start);
            }
            else if (end == buffer.Length)
            {
                Array.Resize(ref buffer, buffer.Length * 2);
            }

            var count = await FillAsync(file, buffer.AsMemory(end), path, cancel).ConfigureAwait(false);
            isOver = count == 0;
            end += count;
        }

        if (!walk.IsWhole)
            throw new FailedException($"{path} ends in the middle.");
    }

    private static FileStream Open(string path)
    {
        try
        {
            return new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new FailedException($"{path} cannot be read: {e.Message}", e);
        }
    }

    private static async ValueTask<int> FillAsync(FileStream file, Memory<byte> buffer, string path, CancellationToken cancel)
    {
        try
        {
            return await file.ReadAsync(buffer, cancel).ConfigureAwait(false);
        }
        catch (IOException e)
        {
            throw new FailedException($"{path} cannot be read on: {e.Message}", e);
        }
    }

    /// <summary>Where the reading is in the file. Holds no bytes of it.</summary>
    private sealed class Walk(string path)
    {
        private readonly Stack<string> _within = [];
        private JsonReaderState _state;
        private string _name = "";
        private long _before;

        /// <summary>Bytes that the last <see cref="Next"/> used although it had no value to give.</summary>
        public int Used { get; private set; }

        public bool IsWhole { get; private set; }

        /// <summary>The next value; null when more bytes are needed, or there is none any more.</summary>
        public StateValue? Next(ReadOnlySpan<byte> bytes, bool isFinal, out int used)
        {
            (used, Used) = (0, 0);
            try
            {
                var reader = new Utf8JsonReader(bytes, isFinal, _state);
                var at = reader;
                while (reader.Read())
                {
                    if (reader.TokenType is JsonTokenType.PropertyName)
                    {
                        _name = reader.GetString()!;
                    }
                    else if (reader.TokenType is JsonTokenType.EndObject)
                    {
                        _within.Pop();
                        IsWhole = _within.Count == 0;
                    }
                    else if (reader.TokenType is JsonTokenType.StartObject && Containers.Contains(Child()))
                    {
                        _within.Push(Child());
                    }
                    else if (_within.Count == 0)
                    {
                        throw new FailedException($"{path} is no state file: it is no JSON object.");
                    }
                    else
                    {
                        var from = (int)reader.TokenStartIndex;
                        if (!reader.TrySkip())
                            break;
                        used = (int)reader.BytesConsumed;
                        var value = JsonNode.Parse(bytes[from..used], documentOptions: new JsonDocumentOptions { AllowDuplicateProperties = false });
                        Keep(reader);
                        return new StateValue(_within.Peek(), _name, value);
                    }

                    at = reader;
                }

                Keep(at);
                Used = (int)at.BytesConsumed;
                return null;
            }
            catch (JsonException e)
            {
                throw new FailedException($"{path} is no state file: it is not JSON at byte {_before + (e.BytePositionInLine ?? 0) + 1}.", e);
            }
        }

        private string Child() => _within.Count == 0 ? "" : _within.Peek().Length == 0 ? _name : $"{_within.Peek()}.{_name}";

        private void Keep(Utf8JsonReader reader)
        {
            _state = reader.CurrentState;
            _before += reader.BytesConsumed;
        }
    }
}
