using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text.RegularExpressions;
using Microsoft.Extensions.Logging;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Devices;
using Sallyport.Hub.Registry;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Access.Certificates;

/// <summary>Gets what a URL answers, by the rules of outgoing connections and at most <see cref="CertificateAuthorities.MaxRevocationListBytes"/> of it.</summary>
/// <returns>The body.</returns>
/// <remarks>Throws <see cref="IOException"/> with a reason in words, for whatever keeps it from being had.</remarks>
public delegate Task<byte[]> FetchRevocationList(Uri url, CancellationToken cancel);

/// <summary>
/// The certificate authorities that devices' certificates may come from, all of them in memory. Every change is in the audit trail before it
/// takes effect, and ends the connections that it takes the ground from. Whoever makes one vouch for devices needs
/// <see cref="Rights.DeviceConnect"/> themselves: nobody grants what they do not have. Thread-safe.
/// </summary>
/// <remarks>Refuses with <see cref="HubException"/>. Split by concern: this file holds the authorities, the other their revocation lists.</remarks>
public sealed partial class CertificateAuthorities : IDisposable
{
    /// <summary>Azure IoT Hub's limit.</summary>
    public const int MaxAuthorities = 25;

    public const int MaxIdPrefixLength = 128;
    public const int MaxCertificateBytes = 16 * 1024;

    private readonly IMetadata _metadata;
    private readonly IAuditTrail _audit;
    private readonly ConnectedDevices _connected;
    private readonly KnownTags _tags;
    private readonly TimeProvider _time;
    private readonly ILogger _log;
    private readonly FetchRevocationList _fetch;
    private readonly IReadOnlyList<X509Certificate2> _never;
    private readonly KeptIntermediates _kept;
    private readonly SemaphoreSlim _oneChange = new(1, 1);

    // Replaced whole, by the one that holds _oneChange.
    private volatile TrustedAuthorities _current;

    /// <summary>Reads the authorities.</summary>
    /// <param name="tags">Whom those that are limited by tag ask which a device has.</param>
    /// <param name="never">What is never one for devices: this hub's own roots for servers and gateways.</param>
    public CertificateAuthorities(
        IMetadata metadata, IAuditTrail audit, ConnectedDevices connected, KnownTags tags, FetchRevocationList fetch, IReadOnlyList<X509Certificate2> never, TimeProvider time,
        ILogger<CertificateAuthorities> log)
    {
        _metadata = metadata;
        _audit = audit;
        _connected = connected;
        _tags = tags;
        _fetch = fetch;
        _never = never;
        _time = time;
        _log = log;
        _kept = new KeptIntermediates(metadata, time, log);
        _current = Read();
    }

    internal TrustedAuthorities Current => _current;

    /// <summary>How many intermediate certificates are kept.</summary>
    internal int KeptCount => _kept.Count;

    /// <summary>All authorities in the order of their names.</summary>
    public IReadOnlyList<CertificateAuthorityState> List() => [.. _current.All.Select(CertificateAuthorityState.Of)];

    /// <exception cref="HubException">404: there is no such authority.</exception>
    public CertificateAuthorityState Show(string name) => CertificateAuthorityState.Of(Require(name));

    /// <summary>Registers an authority, or replaces its certificate; a new certificate is not verified unless <paramref name="isVerified"/> says so.</summary>
    /// <param name="certificate">PEM or DER; null keeps the one there is.</param>
    /// <param name="isVerified">True trusts it without proof of possession. Null: as it is.</param>
    /// <param name="idPrefix">Limits it to device ids that begin with this; empty for no limit, null as it is.</param>
    /// <param name="deviceTags">Limits it to devices with these tags (<see cref="DeviceTag.Syntax"/>); none for no limit, null as it is.</param>
    /// <param name="condition">Null: there must be none of that name yet.</param>
    /// <exception cref="HubException">400: a value is not valid, or there are <see cref="MaxAuthorities"/>; 401: the actor may not let devices connect; 404, 409, 412; 503: the audit trail cannot be written.</exception>
    public async ValueTask<CertificateAuthorityState> PutAsync(
        Actor actor, string name, byte[]? certificate, bool? isVerified, string? idPrefix, IReadOnlyList<string>? deviceTags, EntityTagCondition? condition, CancellationToken cancel)
    {
        RequireDeviceConnect(actor);
        return await ChangeAsync(
            actor,
            condition is null ? "certificate create" : "certificate update",
            name,
            () =>
            {
                var before = condition is { } given ? Require(name, given) : NewRecord(name, certificate);
                var after = before with { Verified = isVerified ?? before.Verified, IdPrefix = Prefix(idPrefix ?? before.IdPrefix), DeviceTags = deviceTags is null ? before.DeviceTags : Tags(deviceTags), UpdatedTime = _time.GetUtcNow() };
                if (certificate is null || certificate.AsSpan().SequenceEqual(before.Certificate))
                    return after;

                // What was proved, or revoked, is about the certificate that was.
                var taken = AuthorityCertificate(certificate);
                return taken.AsSpan().SequenceEqual(before.Certificate) ? after : after with { Certificate = taken, Verified = isVerified ?? false, VerificationCode = null };
            },
            cancel);
    }

    /// <summary>Makes a new verification code. The authority proves that it holds its key by signing a certificate with the code as its common name.</summary>
    /// <exception cref="HubException">404, 412; 503: the audit trail cannot be written.</exception>
    public ValueTask<CertificateAuthorityState> GenerateVerificationCodeAsync(Actor actor, string name, EntityTagCondition condition, CancellationToken cancel) =>
        ChangeAsync(
            actor, "certificate generate-verification-code", name,
            () => Require(name, condition) with { VerificationCode = Convert.ToHexString(RandomNumberGenerator.GetBytes(24)), UpdatedTime = _time.GetUtcNow() }, cancel);

    /// <summary>Verifies an authority by what it signed.</summary>
    /// <param name="proof">A certificate, PEM or DER, whose common name is the verification code.</param>
    /// <exception cref="HubException">400: it proves nothing; 401: the actor may not let devices connect; 404, 412; 503: the audit trail cannot be written.</exception>
    public async ValueTask<CertificateAuthorityState> VerifyAsync(Actor actor, string name, byte[] proof, EntityTagCondition condition, CancellationToken cancel)
    {
        RequireDeviceConnect(actor);
        return await ChangeAsync(
            actor, "certificate verify", name,
            () =>
            {
                var record = Require(name, condition);
                RequireProof(record, ReadCertificate(proof));
                return record with { Verified = true, VerificationCode = null, UpdatedTime = _time.GetUtcNow() };
            },
            cancel);
    }

    /// <summary>Deletes an authority; connections of devices that it vouches for end.</summary>
    /// <exception cref="HubException">404, 412; 503: the audit trail cannot be written.</exception>
    public async ValueTask DeleteAsync(Actor actor, string name, EntityTagCondition condition, CancellationToken cancel) =>
        await ChangeAsync(
            actor, "certificate delete", name,
            () =>
            {
                Require(name, condition);
                return null;
            },
            cancel);

    public void Dispose() => _oneChange.Dispose();

    private CertificateAuthority Require(string name) =>
        _current.Find(name) ?? throw new HubException(HubErrors.NotFound, $"there is no certificate {name}");

    private CertificateAuthorityRecord Require(string name, EntityTagCondition condition)
    {
        var record = Require(name).Record;
        condition.Require(record.ETag);
        return record;
    }

    private CertificateAuthorityRecord NewRecord(string name, byte[]? certificate)
    {
        if (!ValidName().IsMatch(name))
            throw Invalid("a certificate's name has 1 to 64 ASCII letters, digits, '-', '_' and '.'");
        if (_current.Find(name) is not null)
            throw new HubException(HubErrors.Conflict, $"there is a certificate {name} already; send If-Match to update it");
        if (_current.All.Count >= MaxAuthorities)
            throw Invalid($"the hub has {MaxAuthorities} certificates, as many as it may; delete one first");
        if (certificate is null)
            throw Invalid("certificate: PEM or base64 of DER is needed");

        // The tag is random at first: a namesake of a deleted one must not fit it.
        var now = _time.GetUtcNow();
        return new CertificateAuthorityRecord
        {
            Name = name, Certificate = AuthorityCertificate(certificate), ETag = RandomNumberGenerator.GetInt32(1, int.MaxValue), CreatedTime = now, UpdatedTime = now,
        };
    }

    /// <summary>The DER of a certificate that may be an authority for devices.</summary>
    private byte[] AuthorityCertificate(byte[] given)
    {
        var certificate = ReadCertificate(given);
        if (AuthorityFault(certificate) is { } fault)
            throw Invalid($"certificate: {fault}");

        return certificate.RawData;
    }

    private string? AuthorityFault(X509Certificate2 certificate)
    {
        if (_never.Any(own => own.RawDataMemory.Span.SequenceEqual(certificate.RawDataMemory.Span)))
            return "it is this hub's own root for servers or gateways, which never vouches for devices";
        if (LeafRules.ValidityFault(certificate, _time.GetUtcNow(), "the certificate") is { } invalid)
            return invalid;

        try
        {
            if (certificate.Version != 3 || !certificate.Extensions.OfType<X509BasicConstraintsExtension>().Any(constraints => constraints.CertificateAuthority))
                return "it is not one of a certificate authority (X.509 version 3, basic constraints CA)";
            if (certificate.Extensions.OfType<X509KeyUsageExtension>().Any(usage => !usage.KeyUsages.HasFlag(X509KeyUsageFlags.KeyCertSign)))
                return "its key usage does not name the signing of certificates";

            using var rsa = certificate.GetRSAPublicKey();
            using var ecdsa = certificate.GetECDsaPublicKey();
            return rsa?.KeySize >= 2048 || ecdsa?.KeySize >= 256 ? null : "its key must be RSA of 2048 bits or more, or ECDSA of 256 bits or more";
        }
        catch (CryptographicException)
        {
            return "it is malformed";
        }
    }

    private void RequireProof(CertificateAuthorityRecord record, X509Certificate2 proof)
    {
        var authority = _current.Find(record.Name)!.Certificate;
        if (record.VerificationCode is null)
            throw Invalid("no verification code was asked for: generate one first");
        if (LeafRules.ValidityFault(proof, _time.GetUtcNow(), "the certificate") is { } invalid)
            throw Invalid(invalid);
        if (LeafRules.CommonNameOf(proof.SubjectName) != record.VerificationCode)
            throw Invalid("the certificate's common name is not the verification code");
        if (!proof.IssuerName.RawData.AsSpan().SequenceEqual(authority.SubjectName.RawData) || !DerSignature.IsBy(authority, proof.RawDataMemory))
            throw Invalid("the certificate is not signed by the authority's key");
    }

    private static X509Certificate2 ReadCertificate(byte[] given)
    {
        if (given.Length > MaxCertificateBytes)
            throw Invalid($"certificate: more than {MaxCertificateBytes / 1024} KiB");

        try
        {
            if (X509Certificate2.GetCertContentType(given) is not X509ContentType.Cert)
                throw Invalid("certificate: not an X.509 certificate");
            return X509CertificateLoader.LoadCertificate(given);
        }
        catch (CryptographicException)
        {
            throw Invalid("certificate: not an X.509 certificate, PEM or DER");
        }
    }

    private static string Prefix(string prefix) =>
        prefix.Length == 0 || (prefix.Length <= MaxIdPrefixLength && Identity.TryCreate(prefix, null, out _))
            ? prefix
            : throw Invalid($"idPrefix: at most {MaxIdPrefixLength} of the characters that ids are made of");

    private static string Tags(IReadOnlyList<string> tags) =>
        Scope.TryCreate([], tags, [], out var scope, out var problem) ? scope.Stored().DeviceTags : throw Invalid($"deviceTags: {problem}");

    private static void RequireDeviceConnect(Actor actor)
    {
        if (!actor.Rights.HasFlag(Rights.DeviceConnect))
            throw new HubException(HubErrors.UnauthorizedAccess, "an authority lets devices connect, and you do not hold that right");
    }

    /// <summary>Decides, records, stores, remembers, ends connections; one change after the other.</summary>
    /// <param name="decide">The record to store, with the tag it had; null to delete it.</param>
    /// <param name="store">More to be stored with it.</param>
    private async ValueTask<CertificateAuthorityState> ChangeAsync(
        Actor actor, string action, string name, Func<CertificateAuthorityRecord?> decide, CancellationToken cancel, Action<MetadataTransaction>? store = null)
    {
        await _oneChange.WaitAsync(cancel);
        try
        {
            var record = decide();
            if (record is not null)
                record = record with { ETag = record.ETag + 1 };
            await RecordAsync(actor.Done(action, name), cancel);
            await StoreAsync(actor, action, name, record, store);
            _current = Read();
            if (record is null)
                _kept.Forget(name);
            CloseUnvouched(name);
            return record is null ? null! : Show(name);
        }
        catch (HubException refusal)
        {
            _audit.Note(actor.Refused(action, name, refusal.Message));
            throw;
        }
        finally
        {
            _oneChange.Release();
        }
    }

    private async ValueTask RecordAsync(AuditEntry entry, CancellationToken cancel)
    {
        try
        {
            await _audit.RecordAsync(entry, cancel);
        }
        catch (IOException)
        {
            throw new HubException(HubErrors.ServiceUnavailable, "the audit trail cannot be written, so nothing may be changed");
        }
    }

    private async ValueTask StoreAsync(Actor actor, string action, string name, CertificateAuthorityRecord? record, Action<MetadataTransaction>? store)
    {
        try
        {
            await _metadata.WriteAsync(tx =>
            {
                if (record is not null)
                    _metadata.CertificateAuthorities.Put(tx, record);
                else
                    _metadata.CertificateAuthorities.Delete(tx, name);
                store?.Invoke(tx);
                return true;
            });
        }
        catch (Exception failure)
        {
            // The trail says "done" already: take that back.
            _audit.Note(actor.Refused(action, name, $"not stored: {failure.GetType().Name}"));
            throw;
        }
    }

    private TrustedAuthorities Read() => _metadata.Read(tx => new TrustedAuthorities(
        [.. _metadata.CertificateAuthorities.List(tx).Select(record =>
        {
            var lists = _metadata.CertificateAuthorities.FindRevocationList(tx, record.Name);
            return new CertificateAuthority(
                record, X509CertificateLoader.LoadCertificate(record.Certificate), lists is null ? RevocationLists.None : RevocationLists.Read(lists.Lists), lists?.TakenTime)
            {
                Devices = Scope.Of(record).Asking(_tags),
                RenewalFault = _current?.Find(record.Name)?.RenewalFault,
            };
        })],
        _kept));

    /// <summary>Ends the connections of devices that came by this authority and would not be let in by it any more.</summary>
    private void CloseUnvouched(string name)
    {
        var authority = _current.Find(name);
        var now = _time.GetUtcNow();
        _connected.CloseWhere(
            link => link.Principal.Certificate is { Chain: { } chain } && chain.Authority == name && !Vouches(authority, link.Identity, chain, now),
            HubErrors.Unauthorized, "the authority that vouched for its certificate does so no more");
    }

    private static bool Vouches(CertificateAuthority? authority, Identity identity, VerifiedChain chain, DateTimeOffset now) =>
        authority is { Record.Verified: true }
        && chain.Links[^1].Issuer.RawDataMemory.Span.SequenceEqual(authority.Certificate.RawDataMemory.Span)
        && authority.Lists.Fault(chain, authority.Record.Revocation, now) is null
        && authority.Devices.CoversDevice(identity.DeviceId);

    private static HubException Invalid(string message) => new(HubErrors.ArgumentInvalid, message);

    [GeneratedRegex(@"\A[A-Za-z0-9._-]{1,64}\z")]
    private static partial Regex ValidName();
}

/// <summary>An authority as it is shown. Immutable; holds no secret.</summary>
public sealed record CertificateAuthorityState(CertificateAuthorityRecord Record, X509Certificate2 Certificate)
{
    /// <summary>When the revocation lists were taken; null when there are none.</summary>
    public DateTimeOffset? ListsTakenTime { get; private init; }

    /// <summary>When the first of them ends.</summary>
    public DateTimeOffset? NextUpdate { get; private init; }

    public int RevokedCount { get; private init; }

    /// <summary>Why the list could not be renewed lately; null when it could.</summary>
    public string? RenewalFault { get; private init; }

    internal static CertificateAuthorityState Of(CertificateAuthority authority) => new(authority.Record, authority.Certificate)
    {
        ListsTakenTime = authority.ListsTakenTime,
        NextUpdate = authority.Lists.NextUpdate,
        RevokedCount = authority.Lists.RevokedCount,
        RenewalFault = authority.RenewalFault,
    };
}
