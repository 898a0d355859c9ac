using System.Net;
using Sallyport.Hub.Access;
using Sallyport.Protocol.Identities;

namespace Sallyport.Hub.Diagnosis;

/// <summary>How a connection attempt, or the link that came of it, ended.</summary>
public enum AttemptOutcome : byte
{
    Admitted,
    Refused,

    /// <summary>A link that was admitted ended.</summary>
    Closed,

    /// <summary>A link ended because the same identity connected again.</summary>
    TakenOver,
}

/// <summary>One line of what happened to somebody who connects. Immutable; holds no secret.</summary>
/// <param name="Subject">
/// Who it said it is: <c>d1</c>, <c>d1/m1</c>, <c>policy service</c> (no id has a space); empty when it named nobody that could exist.
/// </param>
/// <param name="Peer">From where, over which protocol.</param>
/// <param name="Code">The error code of the wire; 0 when there was none.</param>
/// <param name="Reason">In words, exactly; cut at <see cref="MaxReasonLength"/> characters.</param>
public sealed record Attempt(string Subject, Peer Peer, AttemptOutcome Outcome, int Code, string Reason)
{
    public const int MaxReasonLength = 256;
    public const int MaxCertificatesLength = 1024;

    /// <summary>Names the token or certificate that was shown; empty when none could be read.</summary>
    public string Fingerprint { get; init; } = "";

    /// <summary>Until when the credential is accepted, going by what it says itself; null when none could be read, or it does not end.</summary>
    public DateTimeOffset? AcceptedUntil { get; init; }

    /// <summary>How far the peer's clock is before (positive) or behind (negative) the hub's, where something gave it away; an expired token gives a lower bound.</summary>
    public TimeSpan? ClockSkew { get; init; }

    /// <summary>
    /// The certificate chain as it was presented, leaf first: subjects, thumbprints, validity, a line each; empty when none was. Cut at
    /// <see cref="MaxCertificatesLength"/> characters.
    /// </summary>
    public string Certificates { get; init; } = "";

    /// <summary>Who took over; only with <see cref="AttemptOutcome.TakenOver"/>.</summary>
    public IPEndPoint? TakenOverBy { get; init; }

    /// <summary>How often in a row exactly this happened, but for the port. Kept by <see cref="Attempts"/>.</summary>
    public long Count { get; init; } = 1;

    /// <summary>When it happened first in that row. Kept by <see cref="Attempts"/>.</summary>
    public DateTimeOffset First { get; init; }

    /// <summary>When it happened last. Kept by <see cref="Attempts"/>.</summary>
    public DateTimeOffset Last { get; init; }

    /// <summary>What an authentication decided about an identity.</summary>
    public static Attempt Of(Identity identity, Peer peer, Admission admission) => Of(identity.ToString(), peer, admission);

    /// <inheritdoc cref="Of(Identity, Peer, Admission)"/>
    public static Attempt Of(string subject, Peer peer, Admission admission) =>
        new(subject, peer, admission.IsAdmitted ? AttemptOutcome.Admitted : AttemptOutcome.Refused, admission.Error?.Code ?? 0, admission.Reason)
        {
            Fingerprint = admission.Principal?.CredentialFingerprint ?? "",
            AcceptedUntil = admission.Principal is { } principal && principal.Expires != DateTimeOffset.MaxValue ? principal.Expires : null,
            ClockSkew = peer.ClockSkew ?? admission.ClockSkew,
        };

    /// <summary>Whether it is the same thing once more.</summary>
    internal bool Repeats(Attempt other) =>
        Outcome == other.Outcome && Code == other.Code && Subject == other.Subject && Reason == other.Reason && Fingerprint == other.Fingerprint
        && Peer.Protocol == other.Peer.Protocol && Equals(Peer.Address?.Address, other.Peer.Address?.Address)
        && Equals(TakenOverBy?.Address, other.TakenOverBy?.Address) && Certificates == other.Certificates;
}

/// <summary>Two ends that keep taking an identity from each other.</summary>
/// <param name="One">Equal to <paramref name="Other"/> when both are behind one address.</param>
/// <param name="TakeOvers">How many of them, out of the attempts that are remembered.</param>
public sealed record Duel(IPAddress One, IPAddress Other, long TakeOvers, DateTimeOffset First, DateTimeOffset Last);
