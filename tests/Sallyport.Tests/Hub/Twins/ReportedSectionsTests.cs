using System.Text;
using Sallyport.Hub.Twins;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Twins;

namespace Sallyport.Tests.Hub.Twins;

public sealed class ReportedSectionsTests
{
    private static readonly Identity D1 = Identity.Of("d1");
    private readonly ReportedSections _sections = new();

    [Fact]
    public void Find_AnotherVersionOrGenerationOrIdentity_IsNothing()
    {
        var section = Section(1);
        _sections.Keep(D1, "g1", section);

        Assert.Same(section, _sections.Find(D1, "g1", section.Version));
        Assert.Null(_sections.Find(D1, "g1", section.Version + 1));
        Assert.Null(_sections.Find(D1, "g2", section.Version));
        Assert.Null(_sections.Find(Identity.Of("d1", "m1"), "g1", section.Version));
    }

    [Fact]
    public void Keep_MoreThanTheBound_ForgetsWhatWasNotUsedLately()
    {
        var section = Section(1000);
        var each = 12 * section.Root.JsonBytes;
        var most = ReportedSections.MaxBytes / each;
        for (var i = 0; i < 3 * most; i++)
            _sections.Keep(Identity.Of($"d{i}"), "g", section);

        Assert.InRange(Enumerable.Range(0, 3 * most).Count(i => _sections.Find(Identity.Of($"d{i}"), "g", section.Version) is not null), most / 3, most);
        Assert.NotNull(_sections.Find(Identity.Of($"d{(3 * most) - 1}"), "g", section.Version));
        Assert.Null(_sections.Find(Identity.Of("d0"), "g", section.Version));
    }

    private static TwinSection Section(int textLength) =>
        TwinSection.New(DateTime.UnixEpoch).Patched(TwinReader.Read(Encoding.UTF8.GetBytes($$"""{"a":"{{new string('x', textLength)}}"}"""), TwinLimits.Reported), TwinLimits.Reported, DateTime.UnixEpoch);
}
