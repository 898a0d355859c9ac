using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Queries;

namespace Sallyport.Tests.Protocol.Queries;

public sealed class QueryParserTests
{
    [Fact]
    public void Query_Whole_IsReadAsItIsMeant()
    {
        var query = QueryParser.Parse("select top 5 tags.site as Site, COUNT() AS n from devices where status = 'enabled' and tags.floor > 2 group by tags.site");

        Assert.Equal((QuerySource.Devices, 5, true), (query.Source, query.Top, query.IsAggregate));
        Assert.Equal(["Site", "n"], query.Columns!.Select(column => column.Name));
        Assert.Equal(new QueryAggregate(QueryAggregateKind.Count, null), query.Columns![1].Aggregate);
        Assert.Equal(["status", "tags.floor", "tags.site"], query.Slots.Select(path => path.ToString()));
        Assert.Equal(2, query.Conditions.Count);
        Assert.Equal([2], query.GroupBy);
    }

    [Theory]
    [InlineData("SELECT * FROM devices", QuerySource.Devices)]
    [InlineData("select\n*\tfrom Devices.Modules", QuerySource.Modules)]
    [InlineData("SELECT * FROM devices.jobs WHERE devices.jobs.jobId = 'j' AND status='completed'", QuerySource.Jobs)]
    public void Source_IsTheCollection(string query, QuerySource source) => Assert.Equal(source, QueryParser.Parse(query).Source);

    [Theory]
    [InlineData("DEVICEID", "deviceId")]
    [InlineData("LastActivityTime", "lastActivityTime")]
    [InlineData("capabilities.iotedge", "capabilities.iotEdge")]
    [InlineData("X509thumbprint.PrimaryThumbprint", "x509Thumbprint.primaryThumbprint")]
    [InlineData("Tags.Site", "tags.Site")]
    [InlineData("PROPERTIES.Reported.Temp.c", "properties.reported.Temp.c")]
    [InlineData("devices.tags.site", "tags.site")]
    [InlineData("devices.modules.moduleId", "moduleId")]
    [InlineData("properties.desired.$version", "properties.desired.$version")]
    [InlineData("tags.group.select", "tags.group.select")]
    [InlineData("tags.2nd", "tags.2nd")]
    [InlineData("tags.größe", "tags.größe")]
    [InlineData("tags.[[my-tag]].[[]]]", "tags.my-tag.]")]
    [InlineData("tags.[[a.b]]", "tags.a.b")]
    [InlineData("configurations.[[c-1]].status", "configurations.c-1.status")]
    public void Path_LeadsThere(string written, string path) =>
        Assert.Equal(path, QueryParser.Parse($"SELECT * FROM devices.modules WHERE IS_DEFINED({written})").Slots.Single().ToString());

    [Fact]
    public void Path_InBrackets_IsNotTheSameAsTwoNames() =>
        Assert.Equal(2, QueryParser.Parse("SELECT * FROM devices WHERE tags.[[a.b]] = 1 AND tags.a.b = 1 AND TAGS.a.b = 2").Slots.Count);

    [Theory]
    [InlineData("SELECT deviceId, properties.reported.State, tags FROM devices", "deviceId State tags")]
    [InlineData("SELECT DeviceID FROM devices", "deviceId")]
    [InlineData("SELECT COUNT(), AVG(tags.x), MAX(tags.y) AS top FROM devices", "count avg top")]
    [InlineData("SELECT COUNT(*) AS [[how many]] FROM devices", "how many")]
    public void Column_IsCalledByItsAliasOrLastName(string query, string names) =>
        Assert.Equal(names, string.Join(' ', QueryParser.Parse(query).Columns!.Select(column => column.Name)));

    [Theory]
    [InlineData("", "line 1, column 1: found the end; expected SELECT")]
    [InlineData("SELEC * FROM devices", "line 1, column 1: found 'SELEC'; expected SELECT")]
    [InlineData("SELECT", "line 1, column 7: found the end; expected *, a path or COUNT, SUM, AVG, MIN or MAX")]
    [InlineData("SELECT * FORM devices", "line 1, column 10: found 'FORM'; expected FROM")]
    [InlineData("SELECT *\nFROM  device", "line 2, column 7: found 'device'; expected devices, devices.modules or devices.jobs")]
    [InlineData("SELECT * FROM devices.twins", "column 23: found 'twins'; expected modules or jobs")]
    [InlineData("SELECT TOP 0 * FROM devices", "column 12: found the number 0; expected how many rows at most: a whole number from 1")]
    [InlineData("SELECT TOP 1.5 * FROM devices", "column 12: found the number 1.5; expected how many")]
    [InlineData("SELECT * FROM devices WHERE", "column 28: found the end; expected a path, a constant, a function or '('")]
    [InlineData("SELECT * FROM devices WHERE tags.a == 1", "column 37: found '='; expected a path")]
    [InlineData("SELECT * FROM devices WHERE tags.a = 'x", "column 38: the text that begins here has no end; expected '")]
    [InlineData("SELECT * FROM devices WHERE tags.a = 'x\\n'", "column 40: found '\\'; expected \\', \\\", \\\\ or \\u")]
    [InlineData("SELECT * FROM devices WHERE tags.a IN ('x')", "column 39: found '('; expected '['")]
    [InlineData("SELECT * FROM devices WHERE tags.a IN []", "column 40: found ']'; expected a constant")]
    [InlineData("SELECT * FROM devices WHERE tags.a = ['x']", "column 38: found '['; expected a path, a constant, a function or '(': a list stands behind IN or NIN")]
    [InlineData("SELECT * FROM devices WHERE tags.a LIKE 'x'", "column 36: found 'LIKE'; expected an operator, AND, OR, GROUP BY or the end")]
    [InlineData("SELECT * FROM devices WHERE (tags.a = 1", "column 40: found the end; expected ')'")]
    [InlineData("SELECT * FROM devices WHERE tags. = 1", "column 35: found '='; expected a name, or [[a name]] in double brackets")]
    [InlineData("SELECT * FROM devices WHERE tags.[[]] = 1", "column 36: found ']]'; expected a name")]
    [InlineData("SELECT * FROM devices WHERE tags.[[a = 1", "column 34: found '[['; expected ']]' behind the name")]
    [InlineData("SELECT * FROM devices WHERE tag.a = 1", "column 29: found 'tag'; expected a function with '(', or a path that begins with deviceId")]
    [InlineData("SELECT * FROM devices WHERE properties.repotred.a = 1", "column 40: found 'repotred'; expected desired or reported")]
    [InlineData("SELECT * FROM devices WHERE devices.modules.moduleId = 'm'", "column 37: found 'modules'; expected a path into the collection behind FROM")]
    [InlineData("SELECT * FROM devices WHERE IS_DEFINDE(tags.a)", "column 29: found 'IS_DEFINDE'; expected one of the functions IS_DEFINED")]
    [InlineData("SELECT * FROM devices WHERE CONTAINS(tags.a)", "column 29: found 1 arguments of CONTAINS; expected 2")]
    [InlineData("SELECT * FROM devices WHERE SUBSTRING(tags.a)", "found 1 arguments of SUBSTRING; expected 2 or 3")]
    [InlineData("SELECT * FROM devices WHERE 12abc = 1", "column 29: found '12a'; expected a number")]
    [InlineData("SELECT * FROM devices WHERE tags.a = 1e999", "the number is too large")]
    [InlineData("SELECT * FROM devices WHERE tags.a = 0x", "expected 1 to 16 hexadecimal digits")]
    [InlineData("SELECT * FROM devices WHERE tags.a = 1;", "column 39: found ';', which no query has outside of a text")]
    [InlineData("SELECT * FROM devices ORDER BY deviceId", "column 23: found 'ORDER'; expected the end (rows come in the order of their ids")]
    [InlineData("SELECT * FROM devices, devices.modules", "column 22: found ','; expected WHERE, GROUP BY or the end")]
    [InlineData("SELECT LOWER(tags.a) FROM devices", "column 8: found 'LOWER'; expected COUNT, SUM, AVG, MIN or MAX: other functions are for conditions")]
    [InlineData("SELECT SUM() AS s FROM devices", "column 12: found ')'; expected a path")]
    [InlineData("SELECT * FROM devices GROUP BY tags.a", "column 23: a query with GROUP BY names what it wants of a group")]
    [InlineData("SELECT tags.b, COUNT() FROM devices GROUP BY tags.a", "'tags.b' is neither in an aggregate nor in GROUP BY")]
    [InlineData("SELECT tags.b, COUNT() FROM devices", "'tags.b' is neither in an aggregate nor in GROUP BY")]
    [InlineData("SELECT tags.a, properties.reported.a FROM devices", "two columns are named 'a'; give one of them another name with AS")]
    [InlineData("SELECT jobId FROM devices.jobs", "column 8: queries of devices.jobs have SELECT * only")]
    [InlineData("SELECT * FROM devices.jobs GROUP BY jobId", "column 28: queries of devices.jobs have no groups")]
    [InlineData("SELECT deviceId AS FROM devices", "expected FROM")]
    public void Query_Wrong_SaysWhereAndWhatWasExpected(string query, string says) => Assert.Contains(says, Refusal(query).Message, StringComparison.Ordinal);

    [Fact]
    public void Query_Printed_HoldsNoControlCharacters() =>
        Assert.Contains("'a?b?c'", Refusal("SELECT * FROM devices WHERE tags.x = 1 [[a\u001bb\u0007c]]").Message, StringComparison.Ordinal);

    [Fact]
    public void Query_LongerThan8192Characters_IsRefused()
    {
        var longest = "SELECT * FROM devices WHERE tags.a = '";
        longest += new string('x', QueryParser.MaxLength - longest.Length - 1) + "'";

        Assert.Single(QueryParser.Parse(longest).Conditions);
        Assert.Contains("8193 characters; at most 8192", Refusal(longest + " ").Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("((((", "1", "))))", 15)]
    [InlineData("NOT NOT NOT NOT ", "true", "", 15)]
    [InlineData("- - - - ", "1", "", 15)]
    [InlineData("ABS(ABS(ABS(ABS(", "1", "))))", 15)]
    [InlineData("1 + 1 * 1 / 1 - ", "1", "", 15)]
    public void Nesting_BeyondTheBound_IsRefused(string open, string inner, string close, int fits)
    {
        QueryParser.Parse(Query(fits));
        Assert.Contains("more than 64 parentheses, calls or operators inside one another", Refusal(Query(400)).Message, StringComparison.Ordinal);

        string Query(int times) => $"SELECT * FROM devices WHERE {string.Concat(Enumerable.Repeat(open, times))}{inner}{string.Concat(Enumerable.Repeat(close, times))} = 1";
    }

    [Fact]
    public void Chain_OfHundredsOfOrs_IsNoNesting() =>
        Assert.Single(QueryParser.Parse("SELECT * FROM devices WHERE " + string.Join(" OR ", Enumerable.Range(0, 400).Select(i => $"tags.a={i}"))).Conditions);

    [Fact]
    public void Paths_MoreThan64_AreRefused() =>
        Assert.Contains("more than 64 different paths", Refusal("SELECT * FROM devices WHERE " + string.Join(" OR ", Enumerable.Range(0, 65).Select(i => $"tags.a{i}=1"))).Message, StringComparison.Ordinal);

    private static HubException Refusal(string query)
    {
        var refusal = Assert.Throws<HubException>(() => QueryParser.Parse(query));
        Assert.Same(HubErrors.ArgumentInvalid, refusal.Error);
        return refusal;
    }
}
