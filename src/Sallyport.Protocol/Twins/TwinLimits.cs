namespace Sallyport.Protocol.Twins;

/// <summary>What one part of a twin may hold (IoT Hub developer guide, "Device twins": limitations).</summary>
/// <param name="Path">How errors name it, for example <c>properties.desired</c>.</param>
/// <param name="MaxBytes">Keys and values counted as IoT Hub counts them: see <see cref="TwinNode.SizeBytes"/>.</param>
public sealed record TwinLimits(string Path, int MaxBytes)
{
    public const int MaxKeyBytes = 1024;
    public const int MaxStringBytes = 4096;

    /// <summary>Objects and arrays inside one another, the part itself not counted.</summary>
    public const int MaxDepth = 10;

    public const long MinInteger = -4_503_599_627_370_496;
    public const long MaxInteger = 4_503_599_627_370_495;

    /// <summary>The longest text of a number: more digits than any double has. Ours, because every number counts as 8 bytes.</summary>
    public const int MaxNumberLength = 64;

    public static readonly TwinLimits Desired = new("properties.desired", 32 * 1024);
    public static readonly TwinLimits Reported = new("properties.reported", 32 * 1024);
    public static readonly TwinLimits Tags = new("tags", 8 * 1024);

    /// <summary>The longest JSON text of the part: empty objects and control characters count nothing, and still take room. Ours.</summary>
    public int MaxJsonBytes => 4 * MaxBytes;
}
