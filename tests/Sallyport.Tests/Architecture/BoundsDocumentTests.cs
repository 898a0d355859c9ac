using System.Reflection;
using System.Text.RegularExpressions;
using Sallyport.Tests.Executable;

namespace Sallyport.Tests.Architecture;

/// <summary>Every test that <c>docs/bounds.md</c> names exists, and every row of its tables names one.</summary>
public sealed partial class BoundsDocumentTests
{
    private static readonly string[] Rows =
        [.. SourceTree.Read("docs/bounds.md").Split('\n').Where(line => line.StartsWith("| ", StringComparison.Ordinal) && !line.StartsWith("| case ", StringComparison.Ordinal))];

    [Fact]
    public void EveryRow_NamesATest() =>
        Assert.All(Rows, row => Assert.True(InCode().IsMatch(row), row));

    [Fact]
    public void EveryTestInCode_Exists()
    {
        var tests = typeof(BoundsDocumentTests).Assembly.GetTypes()
            .SelectMany(type => type.GetMethods(BindingFlags.Public | BindingFlags.Instance).Where(method => method.IsDefined(typeof(FactAttribute), inherit: true))
                .Select(method => $"{type.Name}.{method.Name}"))
            .ToHashSet();

        Assert.All(Rows.SelectMany(row => InCode().Matches(row)), named => Assert.Contains(named.Groups[1].Value, tests));
    }

    [Fact]
    public void EveryConformanceTest_IsInItsFile()
    {
        var named = Rows.SelectMany(row => OfConformance().Matches(row)).ToList();

        Assert.NotEmpty(named);
        Assert.All(named, name => Assert.Contains($"'{name.Groups[2].Value}'", SourceTree.Read($"tests/conformance/{name.Groups[1].Value}"), StringComparison.Ordinal));
    }

    [GeneratedRegex(@"`(\w+Tests\.\w+)`")]
    private static partial Regex InCode();

    [GeneratedRegex(@"`([\w.]+\.test\.mjs): ([^`]+)`")]
    private static partial Regex OfConformance();
}
