using System.Text;
using Sallyport.Hub.Configurations;
using Sallyport.Protocol.Errors;

namespace Sallyport.Tests.Hub.Configurations;

public sealed class ConfigurationFuzzTests
{
    private static readonly string[] Seeds =
    [
        """{"id":"a","labels":{"b":"c"},"content":{"deviceContent":{"properties.desired.a.b":{"c":[1,{"d":null}]},"properties.desired.e":"\u00e4"}},"targetCondition":"tags.a = 1","priority":7,"metrics":{"queries":{"m":"SELECT deviceId FROM devices"}}}""",
        """{"content":{"modulesContent":{"$edgeAgent":{"properties.desired":{"modules":{"m":{"settings":{}}}}},"m":{"properties.desired.x":1}}}}""",
        """{"content":{"moduleContent":{"properties.desired":{"a":1,"$version":3}}},"targetCondition":"FROM devices.modules WHERE moduleId IN ['a']"}""",
    ];

    private static readonly string[] Conditions = ["tags.a = 1 AND properties.reported.b.c > 2.5", "FROM devices.modules WHERE STARTSWITH(moduleId, 'a') OR NOT tags.[[x y]] IN ['a', 2]", "*", "FROM devices"];

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void Body_OfAnyBytes_IsReadOrRefused(int seed)
    {
        var random = new Random(seed);
        for (var i = 0; i < 20_000; i++)
        {
            var body = Mutated(random, Encoding.UTF8.GetBytes(Seeds[random.Next(Seeds.Length)]));
            try
            {
                ConfigurationDraft.Read(body);
            }
            catch (HubException refused)
            {
                Assert.InRange(refused.Error.HttpStatus, 400, 499);
                Assert.DoesNotContain(refused.Message, char.IsControl);
            }
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void Condition_OfAnyText_IsReadOrRefusedWithItsPlace(int seed)
    {
        var random = new Random(seed);
        for (var i = 0; i < 20_000; i++)
        {
            var condition = Encoding.Latin1.GetString(Mutated(random, Encoding.Latin1.GetBytes(Conditions[random.Next(Conditions.Length)])));
            try
            {
                TargetCondition.Check(condition);
            }
            catch (HubException refused)
            {
                Assert.StartsWith("targetCondition", refused.Message, StringComparison.Ordinal);
                Assert.DoesNotContain(refused.Message, char.IsControl);
            }
        }
    }

    private static byte[] Mutated(Random random, byte[] bytes)
    {
        for (var changes = random.Next(1, 5); changes > 0 && bytes.Length > 0; changes--)
        {
            var at = random.Next(bytes.Length);
            bytes = random.Next(4) switch
            {
                0 => [.. bytes[..at], .. bytes[(at + 1)..]],
                1 => [.. bytes[..at], (byte)random.Next(256), .. bytes[at..]],
                2 => [.. bytes[..at], .. bytes[random.Next(bytes.Length)..]],
                _ => [.. bytes[..at], (byte)"{}[]\",:$.\\'=*0"[random.Next(14)], .. bytes[(at + 1)..]],
            };
        }

        return bytes;
    }
}
