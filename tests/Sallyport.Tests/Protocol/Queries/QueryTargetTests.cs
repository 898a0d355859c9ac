using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Queries;

namespace Sallyport.Tests.Protocol.Queries;

public sealed class QueryTargetTests
{
    [Theory]
    [InlineData("*", QuerySource.Devices, 0)]
    [InlineData(" * ", QuerySource.Devices, 0)]
    [InlineData("deviceId IN ['a','b']", QuerySource.Devices, 1)]
    [InlineData("tags.a = 1 AND properties.reported.b > 2", QuerySource.Devices, 2)]
    [InlineData("from devices", QuerySource.Devices, 0)]
    [InlineData("FROM devices WHERE devices.deviceId = 'a'", QuerySource.Devices, 1)]
    [InlineData("FROM devices.modules", QuerySource.Modules, 0)]
    [InlineData("FROM devices.modules WHERE devices.modules.moduleId = 'm' AND tags.a = 1", QuerySource.Modules, 2)]
    public void Target_IsReadAsAQueryOfAll(string target, QuerySource source, int conditions)
    {
        var query = QueryParser.ParseTarget(target);

        Assert.Equal((source, conditions), (query.Source, query.Conditions.Count));
        Assert.Null(query.Columns);
        Assert.Null(query.Top);
    }

    [Theory]
    [InlineData("", "line 1, column 1: found the end; expected '*', a condition, or FROM devices.modules")]
    [InlineData("* AND tags.a = 1", "column 3: found 'AND'; expected the end")]
    [InlineData("tags.a == 1", "column 9: found '='; expected a path")]
    [InlineData("SELECT * FROM devices", "column 1: found 'SELECT'; expected a path, a constant, a function or '('")]
    [InlineData("FROM devices.jobs", "column 6: found 'devices.jobs'; expected devices or devices.modules")]
    [InlineData("FROM devices tags.a = 1", "column 14: found 'tags'; expected WHERE or the end")]
    [InlineData("tags.a = 1 GROUP BY tags.a", "column 12: found 'GROUP'; expected an operator, AND, OR or the end")]
    [InlineData("colour = 'red'", "column 1: found 'colour'; expected a function with '('")]
    [InlineData("devices.modules.moduleId = 'm'", "found 'modules'; expected a path into the collection behind FROM")]
    public void Target_ThatIsNone_SaysWhereAndWhatWasExpected(string target, string expected) =>
        Assert.Contains(expected, Assert.Throws<HubException>(() => QueryParser.ParseTarget(target)).Message);

    [Fact]
    public void Target_LongerThanItMay_IsRefused() =>
        Assert.Contains("8193 characters", Assert.Throws<HubException>(() => QueryParser.ParseTarget(new string('*', 8193))).Message);
}
