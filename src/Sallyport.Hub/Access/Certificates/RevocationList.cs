using System.Collections.Frozen;
using System.Formats.Asn1;
using System.Numerics;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;

namespace Sallyport.Hub.Access.Certificates;

/// <summary>
/// One certificate revocation list (RFC 5280, 5). Parsed strictly: a list that is only a part of the truth (delta, or of one
/// distribution point) says so in a critical extension, and is refused for it. Who signed it is asked separately. Thread-safe.
/// </summary>
internal sealed class RevocationList
{
    private const string CrlNumber = "2.5.29.20";
    private static readonly Asn1Tag Extensions = new(TagClass.ContextSpecific, 0);

    private readonly ReadOnlyMemory<byte> _der;

    // The last issuer that it was found signed by: nearly always the only one asked about.
    private volatile string? _signer;

    private RevocationList(ReadOnlyMemory<byte> der) => _der = der;

    /// <summary>The distinguished name of who issued it, DER.</summary>
    public ReadOnlyMemory<byte> Issuer { get; private init; }

    public DateTimeOffset ThisUpdate { get; private init; }

    /// <summary>When a newer one is due: until then it is in force. Null when it does not say, which RFC 5280 forbids: it is never in force.</summary>
    public DateTimeOffset? NextUpdate { get; private init; }

    /// <summary>Grows from list to list; null when it does not say.</summary>
    public BigInteger? Number { get; private init; }

    /// <summary><see cref="ChainLink.SerialText"/> of what is revoked or on hold.</summary>
    public FrozenSet<string> Serials { get; private init; } = [];

    /// <summary>Reads one or more lists: DER, or PEM one after the other.</summary>
    /// <exception cref="FormatException">What is given is no such thing; says what is wrong.</exception>
    public static IReadOnlyList<RevocationList> ReadAll(ReadOnlyMemory<byte> given)
    {
        var lists = new List<RevocationList>();
        if (given.Length > 0 && given.Span[0] == 0x30)
        {
            lists.Add(Read(given));
            return lists;
        }

        var text = Encoding.UTF8.GetString(given.Span);
        for (var rest = text.AsMemory(); PemEncoding.TryFind(rest.Span, out var found); rest = rest[found.Location.End..])
        {
            if (rest.Span[found.Label] is not "X509 CRL")
                throw new FormatException("it holds something else than revocation lists (-----BEGIN X509 CRL-----)");
            lists.Add(Read(Convert.FromBase64String(rest[found.Base64Data].ToString())));
        }

        return lists.Count > 0 ? lists : throw new FormatException("it holds no revocation list, neither DER nor PEM (-----BEGIN X509 CRL-----)");
    }

    /// <summary>Whether it is about the certificates of this issuer, and signed by it.</summary>
    public bool IsOf(X509Certificate2 issuer)
    {
        if (!Issuer.Span.SequenceEqual(issuer.SubjectName.RawData))
            return false;
        if (_signer == issuer.Thumbprint)
            return true;
        if (issuer.Extensions.OfType<X509KeyUsageExtension>().Any(usage => !usage.KeyUsages.HasFlag(X509KeyUsageFlags.CrlSign)) || !DerSignature.IsBy(issuer, _der))
            return false;

        _signer = issuer.Thumbprint;
        return true;
    }

    public bool IsInForce(DateTimeOffset now) => NextUpdate > now;

    private static RevocationList Read(ReadOnlyMemory<byte> der)
    {
        try
        {
            var outer = new AsnReader(der, AsnEncodingRules.DER);
            var list = outer.ReadSequence().ReadSequence();
            outer.ThrowIfNotEmpty();
            if (!list.PeekTag().HasSameClassAndValue(Asn1Tag.Integer) || !list.TryReadInt32(out var version) || version != 1)
                throw new FormatException("a revocation list is not of version 2");

            list.ReadSequence(); // The algorithm; the one outside is used, and the signature covers this one.
            var issuer = list.ReadEncodedValue();
            var thisUpdate = ReadTime(list);
            DateTimeOffset? nextUpdate = IsTime(list) ? ReadTime(list) : null;
            var serials = new HashSet<string>();
            if (list.HasData && list.PeekTag().HasSameClassAndValue(Asn1Tag.Sequence))
            {
                for (var entries = list.ReadSequence(); entries.HasData;)
                    serials.Add(ReadEntry(entries.ReadSequence()));
            }

            BigInteger? number = null;
            if (list.HasData)
            {
                for (var extensions = list.ReadSequence(Extensions).ReadSequence(); extensions.HasData;)
                    ReadExtension(extensions.ReadSequence(), ref number);
            }

            list.ThrowIfNotEmpty();
            return new RevocationList(der) { Issuer = issuer, ThisUpdate = thisUpdate, NextUpdate = nextUpdate, Number = number, Serials = serials.ToFrozenSet() };
        }
        catch (AsnContentException malformed)
        {
            throw new FormatException("a revocation list is malformed", malformed);
        }
    }

    private static string ReadEntry(AsnReader entry)
    {
        var serial = ChainLink.SerialText(entry.ReadIntegerBytes().Span);
        ReadTime(entry);
        if (entry.HasData)
        {
            for (var extensions = entry.ReadSequence(); extensions.HasData;)
            {
                var extension = extensions.ReadSequence();
                var oid = extension.ReadObjectIdentifier();
                if (IsCritical(extension))
                    throw new FormatException($"an entry of a revocation list has the critical extension {oid}, which is not understood");
            }
        }

        return serial;
    }

    private static void ReadExtension(AsnReader extension, ref BigInteger? number)
    {
        var oid = extension.ReadObjectIdentifier();
        if (IsCritical(extension))
            throw new FormatException($"a revocation list has the critical extension {oid}: it is about a part of the certificates only, or not understood");
        if (oid == CrlNumber)
            number = new AsnReader(extension.ReadOctetString(), AsnEncodingRules.DER).ReadInteger();
    }

    private static bool IsCritical(AsnReader extension) => extension.PeekTag().HasSameClassAndValue(Asn1Tag.Boolean) && extension.ReadBoolean();

    private static bool IsTime(AsnReader reader) =>
        reader.HasData && (reader.PeekTag().HasSameClassAndValue(Asn1Tag.UtcTime) || reader.PeekTag().HasSameClassAndValue(Asn1Tag.GeneralizedTime));

    private static DateTimeOffset ReadTime(AsnReader reader) =>
        reader.PeekTag().HasSameClassAndValue(Asn1Tag.UtcTime) ? reader.ReadUtcTime() : reader.ReadGeneralizedTime();
}
