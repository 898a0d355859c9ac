using System.Text.RegularExpressions;
using Sallyport.Tests.Executable;

namespace Sallyport.Tests.Architecture;

/// <summary>Every file that <c>docs/security.md</c> says enforces something exists.</summary>
public sealed partial class SecurityDocumentTests
{
    [Fact]
    public void EveryFileNamed_Exists()
    {
        var named = Files().Matches(SourceTree.Read("docs/security.md")).Select(match => match.Groups[1].Value).ToHashSet();

        Assert.NotEmpty(named);
        Assert.All(named, path => Assert.True(File.Exists(Path.Combine(SourceTree.Root, path)), path));
    }

    [GeneratedRegex(@"`((?:src|docs|tests)/[^`]+)`")]
    private static partial Regex Files();
}
