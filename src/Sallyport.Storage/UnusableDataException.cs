namespace Sallyport.Storage;

/// <summary>
/// What is on disk cannot be used as it is: another process has it, it is of a newer format, it belongs to somebody else, its key is
/// not the right one. The message is one sentence for whoever started the program and says what to do. Holds no secret.
/// </summary>
public class UnusableDataException(string message, Exception? inner = null) : Exception(message, inner);

/// <summary>The data directory is open in another process.</summary>
/// <param name="processId">That process; null when it did not say.</param>
public sealed class DataDirectoryInUseException(string path, int? processId)
    : UnusableDataException($"The data directory '{path}' is in use by process {processId?.ToString(System.Globalization.CultureInfo.InvariantCulture) ?? "(unknown)"}: stop it first, or give another directory with --data.")
{
    public int? ProcessId { get; } = processId;
}
