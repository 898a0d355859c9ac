using System.CommandLine;
using System.Security.Cryptography;
using System.Text.Json.Nodes;

namespace Sallyport.Cli;

/// <summary>The flags that say which credential an operator gets: one of three.</summary>
internal sealed class CredentialOptions
{
    private readonly Option<string> _file = Flags.Text("--credential-file", "FILE", "A new key: where to write it (0600), overwriting the file: a login for --login-file", "--cf");
    private readonly Option<string> _certificate = Flags.Text("--certificate", "FILE", "The operator's client certificate, PEM or DER; its key stays where it is");
    private readonly Option<string> _thumbprint = Flags.Text("--thumbprint", "HEX", "The SHA-256 of the operator's client certificate");

    public IEnumerable<Option> All => [_file, _certificate, _thumbprint];

    public Verb Checked(Verb verb)
    {
        verb.Validators.Add(given =>
        {
            if (All.Count(option => given.GetResult(option) is { Implicit: false }) != 1)
                given.AddError("Give one of --credential-file, --certificate and --thumbprint.");
        });
        return verb;
    }

    /// <summary>Where a key is written; null when the credential is a certificate.</summary>
    public string? FileOf(ParseResult parsed) => parsed.GetValue(_file);

    /// <exception cref="FailedException">The certificate cannot be read.</exception>
    public async Task AddCertificateAsync(JsonObject request, ParseResult parsed, CancellationToken cancel)
    {
        if (parsed.GetValue(_thumbprint) is { } thumbprint)
        {
            // As openssl prints it: SHA256 Fingerprint=AB:CD:…
            request["thumbprint"] = thumbprint[(thumbprint.IndexOf('=', StringComparison.Ordinal) + 1)..].Replace(":", "", StringComparison.Ordinal);
            return;
        }

        var text = await Secrets.ReadBytesAsync("--certificate", parsed.GetValue(_certificate)!, MaxFileBytes, cancel).ConfigureAwait(false);

        // A file may hold the key too: that stays here.
        request["certificate"] = PemEncoding.TryFind(System.Text.Encoding.Latin1.GetString(text), out _)
            ? CertificateIn(System.Text.Encoding.Latin1.GetString(text))
            : Convert.ToBase64String(text);
    }

    private const int MaxFileBytes = 64 * 1024;

    private static string CertificateIn(string pem)
    {
        var rest = pem.AsSpan();
        while (PemEncoding.TryFind(rest, out var fields))
        {
            if (rest[fields.Label] is "CERTIFICATE")
                return rest[fields.Location].ToString();
            rest = rest[fields.Location.End..];
        }

        throw new FailedException("--certificate: the file holds no certificate.");
    }
}
