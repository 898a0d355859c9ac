using System.Formats.Asn1;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;

namespace Sallyport.Certificates;

/// <summary>
/// What a server root may sign: the name constraints of RFC 5280, 4.2.1.10, as permitted subtrees. People install this root in
/// their trust stores, so it must be worthless for anybody else's names: it permits the given hosts, names that are private
/// by their registry, loopback and private addresses. Immutable.
/// </summary>
internal sealed class PermittedNames
{
    private const string Oid = "2.5.29.30";
    private static readonly Asn1Tag DnsName = new(TagClass.ContextSpecific, 2);
    private static readonly Asn1Tag IpAddress = new(TagClass.ContextSpecific, 7);

    // RFC 6761 (localhost), RFC 6762 (local), RFC 8375 (home.arpa), and internal, which ICANN reserved for private use in 2024.
    private static readonly string[] PrivateDomains = ["localhost", "local", "home.arpa", "internal"];

    // RFC 1122 loopback, RFC 1918, RFC 3927; their IPv6 counterparts of RFC 4291 and RFC 4193.
    private static readonly IPNetwork[] PrivateNetworks =
    [
        IPNetwork.Parse("127.0.0.0/8"), IPNetwork.Parse("10.0.0.0/8"), IPNetwork.Parse("172.16.0.0/12"), IPNetwork.Parse("192.168.0.0/16"),
        IPNetwork.Parse("169.254.0.0/16"), IPNetwork.Parse("::1/128"), IPNetwork.Parse("fc00::/7"), IPNetwork.Parse("fe80::/10"),
    ];

    private readonly IReadOnlyList<string> _domains;
    private readonly IReadOnlyList<IPNetwork> _networks;

    private PermittedNames(IReadOnlyList<string> domains, IReadOnlyList<IPNetwork> networks)
    {
        _domains = domains;
        _networks = networks;
    }

    /// <summary>The private names and addresses, and these hosts.</summary>
    public static PermittedNames For(IReadOnlyList<string> hosts)
    {
        var always = new PermittedNames(PrivateDomains, PrivateNetworks);
        var others = hosts.Where(host => !always.Permits(host)).ToArray();
        return new PermittedNames(
            [.. PrivateDomains, .. others.Where(host => !IPAddress.TryParse(host, out _))],
            [.. PrivateNetworks, .. others.Select(host => IPAddress.TryParse(host, out var address) ? address : null).OfType<IPAddress>().Select(Single)]);
    }

    /// <summary>What an existing root permits.</summary>
    /// <exception cref="AsnContentException">The extension is not of the form that this type writes.</exception>
    public static PermittedNames Of(X509Certificate2 root)
    {
        var domains = new List<string>();
        var networks = new List<IPNetwork>();
        if (root.Extensions[Oid] is { } extension)
        {
            var subtrees = new AsnReader(extension.RawData, AsnEncodingRules.DER).ReadSequence().ReadSequence(new Asn1Tag(TagClass.ContextSpecific, 0));
            while (subtrees.HasData)
            {
                var name = subtrees.ReadSequence();
                if (name.PeekTag().HasSameClassAndValue(DnsName))
                    domains.Add(name.ReadCharacterString(UniversalTagNumber.IA5String, DnsName));
                else
                    networks.Add(Network(name.ReadOctetString(IpAddress)));
            }
        }

        return new PermittedNames(domains, networks);
    }

    /// <summary>Whether a certificate for this host is valid under the root: a permitted name itself or one below it, or an address in a permitted network.</summary>
    public bool Permits(string host) =>
        IPAddress.TryParse(host, out var address)
            ? _networks.Any(network => network.BaseAddress.AddressFamily == address.AddressFamily && network.Contains(address))
            : _domains.Any(domain => host == domain || host.EndsWith("." + domain, StringComparison.Ordinal));

    /// <summary>The critical extension.</summary>
    public X509Extension ToExtension()
    {
        var writer = new AsnWriter(AsnEncodingRules.DER);
        using (writer.PushSequence())
        using (writer.PushSequence(new Asn1Tag(TagClass.ContextSpecific, 0)))
        {
            foreach (var domain in _domains)
            {
                using (writer.PushSequence())
                    writer.WriteCharacterString(UniversalTagNumber.IA5String, domain, DnsName);
            }

            foreach (var network in _networks)
            {
                using (writer.PushSequence())
                    writer.WriteOctetString([.. network.BaseAddress.GetAddressBytes(), .. Mask(network)], IpAddress);
            }
        }

        return new X509Extension(Oid, writer.Encode(), critical: true);
    }

    private static IPNetwork Single(IPAddress address) => new(address, address.AddressFamily == AddressFamily.InterNetwork ? 32 : 128);

    private static byte[] Mask(IPNetwork network)
    {
        var mask = new byte[network.BaseAddress.GetAddressBytes().Length];
        for (var bit = 0; bit < network.PrefixLength; bit++)
            mask[bit / 8] |= (byte)(0x80 >> (bit % 8));
        return mask;
    }

    private static IPNetwork Network(byte[] addressAndMask)
    {
        var half = addressAndMask.Length / 2;
        var prefixLength = addressAndMask.AsSpan(half).ToArray().Sum(b => int.PopCount(b));
        return new IPNetwork(new IPAddress(addressAndMask.AsSpan(0, half)), prefixLength);
    }
}
