using System.Diagnostics.Metrics;

namespace Sallyport.Hub.Access;

/// <summary>What is let in and what is refused, seen from outside (meter <c>Sallyport.Access</c>).</summary>
internal static class AccessMeter
{
    private static readonly Meter Meter = new("Sallyport.Access");

    private static readonly Counter<long> Authentications = Meter.CreateCounter<long>(
        "sallyport.access.authentications", "{authentication}", "Credentials that were checked, by who showed them and the error code they were refused with (0: let in).");

    /// <param name="caller"><c>device</c>, <c>service</c>, or <c>connection</c> where it is refused before either is known.</param>
    public static void Count(Admission admission, string caller) =>
        Authentications.Add(1, new("caller", caller), new("error", admission.Error?.Code ?? 0));
}
