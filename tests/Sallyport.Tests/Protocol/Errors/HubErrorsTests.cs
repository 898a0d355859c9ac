using System.Reflection;
using System.Runtime.CompilerServices;
using System.Text;
using Sallyport.Protocol.Errors;

namespace Sallyport.Tests.Protocol.Errors;

public sealed class HubErrorsTests
{
    private static readonly List<HubError> Catalogue =
        [.. typeof(HubErrors).GetFields(BindingFlags.Public | BindingFlags.Static).Select(field => (HubError)field.GetValue(null)!)];

    /// <summary>Set to 1, the test writes <c>docs/errors.md</c> instead of comparing it.</summary>
    private const string WriteDocs = "SALLYPORT_WRITE_DOCS";

    [Fact]
    public void ErrorsPage_SaysWhatTheCatalogueSays()
    {
        var path = Path.Combine(RepositoryRoot(), "docs", "errors.md");
        var page = Page();
        if (Environment.GetEnvironmentVariable(WriteDocs) == "1")
            File.WriteAllText(path, page);

        Assert.True(File.ReadAllText(path) == page, $"docs/errors.md is not what the catalogue says: run this test with {WriteDocs}=1 and commit the page");
    }

    [Fact]
    public void Catalogue_CodesAndNames_AreGivenOnce()
    {
        Assert.NotEmpty(Catalogue);
        Assert.Equal(Catalogue.Count, Catalogue.Select(error => error.Code).Distinct().Count());
        Assert.Equal(Catalogue.Count, Catalogue.Select(error => error.Name).Distinct().Count());
    }

    [Fact]
    public void Catalogue_Code_StartsWithTheHttpStatus() => Assert.All(Catalogue, error => Assert.Equal(error.HttpStatus, error.Code / 1000));

    private static string Page()
    {
        var page = new StringBuilder("""
            # Errors

            Every refusal, as each protocol says it. Written from `src/Sallyport.Protocol/Errors/HubError.cs` by `HubErrorsTests`; do not edit.

            Over HTTPS the name is in the header `iothub-errorcode` and in the body. MQTT 3.1.1 says little or nothing to the client: the exact
            reason is in the log and, for refused credentials and acts, in the [audit trail](formats/audit.md).

            | code | name | HTTP | AMQP condition | MQTT 3.1.1 | what it means |
            | --- | --- | --- | --- | --- | --- |

            """);
        foreach (var error in Catalogue.OrderBy(error => error.Code))
            page.Append($"| {error.Code} | `{error.Name}` | {error.HttpStatus} | `{error.AmqpCondition}` | {error.MqttOutcome} | {error.Meaning} |\n");
        return page.ToString();
    }

    private static string RepositoryRoot([CallerFilePath] string thisFile = "")
    {
        var directory = new DirectoryInfo(Path.GetDirectoryName(thisFile)!);
        while (!File.Exists(Path.Combine(directory.FullName, "Sallyport.slnx")))
            directory = directory.Parent ?? throw new InvalidOperationException("no Sallyport.slnx above the tests");
        return directory.FullName;
    }
}
