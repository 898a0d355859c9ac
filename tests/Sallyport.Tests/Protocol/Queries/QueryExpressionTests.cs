using System.Text;
using Sallyport.Protocol.Queries;

namespace Sallyport.Tests.Protocol.Queries;

/// <summary>What conditions come to, over one document.</summary>
public sealed class QueryExpressionTests
{
    private const string Tags = """
        {"text":"north","empty":"","num":5,"zero":0,"neg":-2.5,"big":4503599627370495,"yes":true,"no":false,"list":["a",{"b":1}],"obj":{"in":{"x":1,"y":"2"}},
         "digits":"42","Case":"A","case":"b","my-tag":"m","uni":"grüße \ud83d\ude00","esc":"a\"b\\c","list2":[null]}
        """;

    [Theory]
    [InlineData("tags.text = 'north'", true)]
    [InlineData("tags.text = \"north\"", true)]
    [InlineData("tags.text = 'North'", false)]
    [InlineData("tags.text != 'south'", true)]
    [InlineData("tags.text <> 'north'", false)]
    [InlineData("'a' < tags.text", true)]
    [InlineData("tags.text >= 'north'", true)]
    [InlineData("tags.num > 4 AND tags.num < 6", true)]
    [InlineData("tags.num >= 5.0", true)]
    [InlineData("tags.num <= 4.9", false)]
    [InlineData("tags.neg < 0", true)]
    [InlineData("tags.neg = -2.5", true)]
    [InlineData("tags.big = 4503599627370495", true)]
    [InlineData("tags.big = 4503599627370494", false)]
    [InlineData("tags.num = 0x5", true)]
    [InlineData("tags.num = 5e0", true)]
    [InlineData("tags.yes = true", true)]
    [InlineData("tags.yes", true)]
    [InlineData("tags.no", false)]
    [InlineData("tags.text", null)]
    [InlineData("tags.yes > tags.no", true)]
    [InlineData("tags.case = 'b' AND tags.Case = 'A'", true)]
    [InlineData("tags.[[my-tag]] = 'm'", true)]
    [InlineData("tags.uni = 'gr\\u00fc\\u00dfe \\ud83d\\ude00'", true)]
    [InlineData("tags.esc = 'a\\\"b\\\\c'", true)]
    [InlineData("tags.obj.in.x = 1", true)]
    [InlineData("tags.obj.in.y = 2", null)]
    [InlineData("tags.obj.in.y = '2'", true)]
    [InlineData("'it\\'s' = 'it\\'s'", true)]

    // Types that differ cannot be compared, and neither can objects and arrays.
    [InlineData("tags.num = '5'", null)]
    [InlineData("tags.num != '5'", null)]
    [InlineData("NOT tags.num = '5'", null)]
    [InlineData("tags.missing = 1", null)]
    [InlineData("tags.missing != 1", null)]
    [InlineData("tags.missing = undefined", null)]
    [InlineData("tags.missing = tags.missing", null)]
    [InlineData("tags.num = null", null)]
    [InlineData("null = null", true)]
    [InlineData("null != null", false)]
    [InlineData("tags.obj = tags.obj", null)]
    [InlineData("tags.list = 'a'", null)]
    [InlineData("tags.text.more = 1", null)]
    [InlineData("tags.list.x = 1", null)]

    [InlineData("tags.missing = 1 OR tags.num = 5", true)]
    [InlineData("tags.missing = 1 OR tags.num = 6", null)]
    [InlineData("tags.missing = 1 AND tags.num = 5", null)]
    [InlineData("tags.missing = 1 AND tags.num = 6", false)]
    [InlineData("NOT tags.num = 6", true)]
    [InlineData("NOT (tags.num = 5 OR tags.missing = 1)", false)]
    [InlineData("NOT tags.text", null)]
    [InlineData("tags.num = 6 OR tags.num = 5 AND tags.yes", true)]
    [InlineData("(tags.num = 6 OR tags.num = 5) AND tags.no", false)]
    [InlineData("tags.text AND true", null)]
    [InlineData("not not true", true)]

    [InlineData("tags.text IN ['south', 'north']", true)]
    [InlineData("tags.text IN ['south']", false)]
    [InlineData("tags.text NIN ['south']", true)]
    [InlineData("tags.text nin ['north', 1, true, null]", false)]
    [InlineData("tags.num IN ['5']", false)]
    [InlineData("tags.num IN [-1, 5]", true)]
    [InlineData("tags.neg IN [-2.5]", true)]
    [InlineData("tags.missing IN [1]", null)]
    [InlineData("tags.missing NIN [1]", null)]
    [InlineData("tags.obj NIN [1]", null)]
    [InlineData("null IN [null]", true)]

    [InlineData("tags.num + 1 = 6", true)]
    [InlineData("tags.num - 1 - 1 = 3", true)]
    [InlineData("2 + 3 * 4 = 14", true)]
    [InlineData("(2 + 3) * 4 = 20", true)]
    [InlineData("7 % 4 = 3", true)]
    [InlineData("8 / 4 / 2 = 1", true)]
    [InlineData("-tags.num = -5", true)]
    [InlineData("1 / tags.zero = 1", null)]
    [InlineData("tags.text + 1 = 1", null)]
    [InlineData("tags.num * tags.missing = 0", null)]

    [InlineData("IS_DEFINED(tags.text)", true)]
    [InlineData("is_defined(tags.obj)", true)]
    [InlineData("IS_DEFINED(tags.missing)", false)]
    [InlineData("NOT IS_DEFINED(tags.missing)", true)]
    [InlineData("IS_NULL(null)", true)]
    [InlineData("IS_NULL(tags.missing)", false)]
    [InlineData("IS_BOOL(tags.no) AND IS_NUMBER(tags.zero) AND IS_STRING(tags.empty) AND IS_ARRAY(tags.list) AND IS_OBJECT(tags.obj.in)", true)]
    [InlineData("IS_PRIMITIVE(tags.list) OR IS_PRIMITIVE(tags.obj) OR IS_PRIMITIVE(tags.missing)", false)]
    [InlineData("IS_OBJECT(tags) AND IS_PRIMITIVE(tags.no)", true)]
    [InlineData("STARTSWITH(tags.text, 'no') AND STARTS_WITH(tags.text, '')", true)]
    [InlineData("ENDSWITH(tags.text, 'th') AND ENDS_WITH(tags.text, 'north')", true)]
    [InlineData("CONTAINS(tags.text, 'ort')", true)]
    [InlineData("CONTAINS(tags.num, '5')", null)]
    [InlineData("ARRAY_CONTAINS(tags.list, 'x')", false)]
    [InlineData("ARRAY_CONTAINS(tags.list, 'a')", true)]
    [InlineData("ARRAY_CONTAINS(tags.text, 'x')", null)]
    [InlineData("ARRAY_CONTAINS(tags.missing, 'x')", null)]
    [InlineData("INDEX_OF(tags.text, 'r') = 2 AND INDEX_OF(tags.text, 'z') = -1", true)]
    [InlineData("SUBSTRING(tags.text, 1) = 'orth' AND SUBSTRING(tags.text, 1, 2) = 'or' AND SUBSTRING(tags.text, 4, 99) = 'h'", true)]
    [InlineData("SUBSTRING(tags.text, -1) = 'x'", null)]
    [InlineData("SUBSTRING(tags.text, 6) = ''", null)]
    [InlineData("SUBSTRING(tags.text, 0.5) = ''", null)]
    [InlineData("SUBSTRING(tags.text, 0, 1e300) = 'north'", true)]
    [InlineData("LENGTH(tags.text) = 5 AND LENGTH(tags.empty) = 0", true)]
    [InlineData("UPPER(tags.text) = 'NORTH' AND LOWER('ABC') = 'abc'", true)]
    [InlineData("CONCAT(tags.text, '-', tags.digits) = 'north-42'", true)]
    [InlineData("CONCAT(tags.text, tags.num) = 'north5'", null)]
    [InlineData("AS_NUMBER(tags.digits) = 42 AND AS_NUMBER(tags.num) = 5", true)]
    [InlineData("AS_NUMBER(tags.text) = 1", null)]
    [InlineData("AS_NUMBER('NaN') = 1", null)]
    [InlineData("ABS(tags.neg) = 2.5 AND CEILING(tags.neg) = -2 AND FLOOR(tags.neg) = -3 AND SIGN(tags.neg) = -1", true)]
    [InlineData("SQUARE(3) = 9 AND POWER(2, 10) = 1024 AND SQRT(16) = 4 AND EXP(0) = 1", true)]
    [InlineData("SQRT(-1) = 0", null)]
    [InlineData("EXP(1000) = 0", null)]
    [InlineData("ABS(tags.text) = 1", null)]
    public void Condition_OverTheDocument_ComesTo(string condition, bool? expected)
    {
        var query = QueryParser.Parse($"SELECT * FROM devices WHERE {condition}");
        var paths = new JsonPaths(query.Slots.Select((path, slot) => (path.Names, slot)));
        var values = new QueryValue[query.Slots.Count];
        paths.Read(Encoding.UTF8.GetBytes(Tags), values);

        // The conditions of a query are those of its AND: they come to what the AND does.
        var each = query.Conditions.Select(one => one.Evaluate(values)).ToList();
        bool? all = each.Any(value => value.IsFalse) ? false : each.All(value => value.IsTrue) ? true : null;
        Assert.Equal(expected, all);
        Assert.Equal(expected is true, query.Admits(values));
    }

    [Fact]
    public void Concat_LongerThanAnyTwin_IsUndefined()
    {
        var query = QueryParser.Parse($"SELECT * FROM devices WHERE LENGTH({Doubled(12)}) > 0");

        Assert.Equal(QueryKind.Undefined, query.Conditions[0].Evaluate([QueryValue.Of(new string('x', 4096))]).Kind);

        static string Doubled(int times) => times == 0 ? "CONCAT(tags.a, tags.a)" : $"CONCAT({Doubled(times - 1)}, tags.a, tags.a)";
    }

    [Theory]
    [InlineData("""{"a":1,"b":2,"c":3}""", "1 2 3")]
    [InlineData("""{"c":3,"x":{"a":9,"deep":[{"b":9}]},"b":2,"a":1}""", "1 2 3")]
    [InlineData("""{"\u0061":1}""", "1 undefined undefined")]
    [InlineData("""{"a":"\ud800","b":2}""", "undefined 2 undefined")]
    [InlineData("""{"a":{"a":7},"b":[],"c":null}""", "object array null")]
    [InlineData("{}", "undefined undefined undefined")]
    public void Paths_TakeWhatIsThere(string json, string expected)
    {
        var values = new QueryValue[3];
        new JsonPaths([(["a"], 0), (["b"], 1), (["c"], 2)]).Read(Encoding.UTF8.GetBytes(json), values);

        Assert.Equal(expected, string.Join(' ', values));
    }

    [Fact]
    public void Paths_InsideAndAround_AreBothTaken()
    {
        var values = new QueryValue[3];
        new JsonPaths([(["a"], 0), (["a", "b"], 1), ([], 2)]).Read("""{"z":0,"a":{"y":[1],"b":5}}"""u8, values);

        Assert.Equal("object 5 object", string.Join(' ', values));
    }
}
