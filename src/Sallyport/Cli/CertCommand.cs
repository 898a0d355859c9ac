using System.CommandLine;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json.Nodes;
using Sallyport.Certificates;

namespace Sallyport.Cli;

/// <summary><c>cert issue</c>: a device's certificate from the development device root. The key is made here and leaves this machine in no request.</summary>
internal static class CertCommand
{
    public static Command Create(HubVerbs verbs)
    {
        var device = Flags.Required("--device-id", "ID", "The device", "-d");
        var module = Flags.Text("--module-id", "ID", "The module; default: the device itself", "-m");
        var days = Flags.Number("--days", "DAYS", "How long it is valid", 1, DevelopmentRoot.MaxDays, 365);
        var directory = Flags.Text("--output-dir", "DIR", "Where NAME.crt and NAME.key are written; default: the present directory");
        return new Command("cert", "Certificates for development")
        {
            verbs.Create(
                "issue", "Issue a device's certificate from the development device root, with a new key in a file that only you can read", "cert issue -d d1",
                [device, module, days, directory], Printing.Table(new("CommonName", "commonName"), new("Certificate", "certificateFile"), new("Key", "keyFile"), new("NotAfter", "notAfter")),
                call => IssueAsync(call, call.Parsed.GetValue(device)!, call.Parsed.GetValue(module), call.Parsed.GetValue(days), call.Parsed.GetValue(directory) ?? ".")),
        };
    }

    private static async Task<JsonNode?> IssueAsync(HubCall call, string deviceId, string? moduleId, long? days, string directory)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new JsonObject
        {
            ["deviceId"] = deviceId, ["moduleId"] = moduleId, ["days"] = days,
            ["certificateRequest"] = new CertificateRequest("CN=requested by id", key, HashAlgorithmName.SHA256).CreateSigningRequestPem(),
        };
        var issued = (await call.Client.SendAsync(HttpMethod.Post, "manage/v1/development-root/issue", request, cancel: call.Cancel).ConfigureAwait(false))!.AsObject();

        // The hub took the ids, so that they hold no slash.
        var file = Path.Combine(Path.GetFullPath(directory), moduleId is null ? deviceId : $"{deviceId}.{moduleId}");
        try
        {
            WholeFile.Replace(file + ".key", key.ExportPkcs8PrivateKeyPem() + "\n", WholeFile.OwnerOnly);
            WholeFile.Replace(file + ".crt", (string)issued["certificate"]! + "\n", WholeFile.ReadableByAll);
        }
        catch (Exception failed) when (failed is IOException or UnauthorizedAccessException)
        {
            throw new FailedException($"The certificate cannot be written ({failed.Message.TrimEnd('.')}): name a directory that is there with --output-dir.", failed);
        }

        issued.Remove("certificate");
        issued["certificateFile"] = file + ".crt";
        issued["keyFile"] = file + ".key";
        return issued;
    }
}
