using System.Text;
using Sallyport.Simulate;

namespace Sallyport.Tests.Executable.Simulate;

public sealed class FileReadingsTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();
    private readonly List<BadRow> _bad = [];

    [Fact]
    public async Task Csv_BecomesJsonWithNumbersDigitForDigit()
    {
        var readings = await Read("data.csv", "date,t,id,note,empty\n2012-01-01,12.80,007,\"a \"\"quoted\"\", note\",\n");

        Assert.Equal("""{"date":"2012-01-01","t":12.80,"id":"007","note":"a \u0022quoted\u0022, note","empty":null}""", Text(readings.Single()));
        Assert.Null(readings.Single().Time);
        Assert.Empty(_bad);
    }

    [Fact]
    public async Task Csv_AsSpreadsheetsWriteIt_IsRead()
    {
        // A byte order mark, CRLF, a line break in a field, an empty line.
        var readings = await Read("data.csv", "\ufeffa,b\r\n1,\"x\r\ny\"\r\n\r\n2,z\r\n");

        Assert.Equal(["""{"a":1,"b":"x\r\ny"}""", """{"a":2,"b":"z"}"""], readings.Select(Text));
    }

    [Theory]
    [InlineData("2012-01-01", "2012-01-01T00:00:00Z")]
    [InlineData("2012-01-01T12:30:00+02:00", "2012-01-01T10:30:00Z")]
    [InlineData("1325376000", "2012-01-01T00:00:00Z")]
    [InlineData("1325376000500", "2012-01-01T00:00:00.5Z")]
    public async Task Time_InItsColumn_IsReadInTheUsualForms(string text, string time)
    {
        Assert.Equal(DateTimeOffset.Parse(time), (await Read("data.csv", $"at,t\n{text},1\n", "at")).Single().Time);
        Assert.Equal(DateTimeOffset.Parse(time), (await Read("data.jsonl", $$"""{"at":"{{text}}"}""", "at")).Single().Time);
    }

    [Fact]
    public async Task Rows_ThatAreNoReadings_AreToldWithTheirLineAndPassedOver()
    {
        var readings = await Read("data.csv", "at,t\n2012-01-01,1\n2012-01-02\n2012-01-03,1,2\nsoon,4\n2012-01-05,a\"b\n2012-01-06,6\n", "at");

        Assert.Equal(["2012-01-01", "2012-01-06"], readings.Select(reading => reading.Time!.Value.ToString("yyyy-MM-dd")));
        Assert.Equal([3, 4, 5, 6], _bad.Select(row => row.Line));
        Assert.Equal("it has 1 fields and the header 2", _bad[0].Problem);
        Assert.Equal("'soon' is not a time", _bad[2].Problem);
    }

    [Fact]
    public async Task JsonLines_AreSentAsTheyAre_AndBadOnesTold()
    {
        var readings = await Read("data.jsonl", "{\"t\": 1.50}\n\nnot json\n[1]\n{\"t\":2}\n");

        Assert.Equal(["{\"t\": 1.50}", "{\"t\":2}"], readings.Select(Text));
        Assert.Equal([3, 4], _bad.Select(row => row.Line));
    }

    [Fact]
    public async Task JsonLines_ThatNameAMemberTwice_AreReadWithTheLastOne()
    {
        var readings = await Read("data.jsonl", """{"at":"2012-01-01","t":1,"t":2}""", "at");

        Assert.Equal(2012, Assert.Single(readings).Time!.Value.Year);
    }

    [Fact]
    public async Task TimeColumn_ThatIsNotThere_IsSaidWithThoseThatAre()
    {
        var refused = await Assert.ThrowsAsync<FormatException>(() => Read("data.csv", "a,b\n1,2\n", "when"));

        Assert.Contains("a, b", refused.Message);
    }

    [Fact]
    public async Task File_Empty_IsRefused()
    {
        await Assert.ThrowsAsync<FormatException>(() => Read("data.csv", ""));
    }

    [Fact]
    public void File_OfAnotherKind_IsRefused()
    {
        Assert.Throws<FormatException>(() => FileReadings.Open("data.xlsx", null, _bad.Add));
    }

    public void Dispose() => _directory.Dispose();

    private async Task<List<Reading>> Read(string name, string content, string? timeColumn = null)
    {
        File.WriteAllText(_directory[name], content);
        var readings = new List<Reading>();
        await foreach (var reading in FileReadings.Open(_directory[name], timeColumn, _bad.Add).AllAsync(TestContext.Current.CancellationToken))
            readings.Add(reading);
        return readings;
    }

    private static string Text(Reading reading) => Encoding.UTF8.GetString(reading.Json);
}
