namespace Sallyport.Simulate;

/// <summary>One real measurement, on its way to becoming a message.</summary>
/// <param name="Time">When it was taken; null when the data does not say.</param>
/// <param name="Json">A JSON object in UTF-8.</param>
internal readonly record struct Reading(DateTimeOffset? Time, byte[] Json);

/// <summary>Where readings come from: this machine, or a file of measured data. One reader at a time.</summary>
internal interface IReadings
{
    /// <summary>The readings in order; this machine's never end.</summary>
    IAsyncEnumerable<Reading> AllAsync(CancellationToken cancel);
}
