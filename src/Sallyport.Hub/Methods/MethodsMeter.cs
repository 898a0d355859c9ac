using System.Diagnostics.Metrics;

namespace Sallyport.Hub.Methods;

/// <summary>The meter <c>Sallyport.Methods</c>. Names are Azure Monitor's where it has one. Thread-safe.</summary>
public static class MethodsMeter
{
    public const string Name = "Sallyport.Methods";

    private static readonly Meter Meter = new(Name);

    private static readonly Counter<long> Succeeded = Meter.CreateCounter<long>(
        "c2d.methods.success", "{call}", "Direct methods that devices answered, with whatever status.");

    private static readonly Counter<long> Failed = Meter.CreateCounter<long>(
        "c2d.methods.failure", "{call}", "Direct methods that got no answer, by error code.");

    private static readonly Histogram<long> Requests = Meter.CreateHistogram<long>(
        "c2d.methods.requestSize", "By", "Payloads of direct methods.");

    private static readonly Histogram<long> Responses = Meter.CreateHistogram<long>(
        "c2d.methods.responseSize", "By", "Payloads of answers to direct methods.");

    internal static void Answered(int requestBytes, int responseBytes)
    {
        Succeeded.Add(1);
        Requests.Record(requestBytes);
        Responses.Record(responseBytes);
    }

    internal static void Unanswered(int errorCode) => Failed.Add(1, KeyValuePair.Create<string, object?>("error", errorCode));
}
