using System.Security.Cryptography;
using System.Text;
using Microsoft.Extensions.Time.Testing;
using Sallyport.Client.Access;

namespace Sallyport.Tests.Client;

public sealed class TokenSourceTests
{
    private const string Key = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    private readonly FakeTimeProvider _time = new(new DateTimeOffset(2026, 1, 2, 3, 4, 5, TimeSpan.Zero));

    [Fact]
    public void Token_OfADevice_IsTheDocumentedSignature()
    {
        var token = new TokenSource("hub.example.org/devices/d+1", Key, null, TimeSpan.FromHours(1), _time).Current();

        var resource = "hub.example.org%2Fdevices%2Fd%2B1";
        var signature = HMACSHA256.HashData(Convert.FromBase64String(Key), Encoding.UTF8.GetBytes($"{resource}\n1767326645"));
        Assert.Equal($"SharedAccessSignature sr={resource}&sig={Uri.EscapeDataString(Convert.ToBase64String(signature))}&se=1767326645", token);
    }

    [Fact]
    public void Token_WithLifeLeft_IsUsedAgainAndRenewedAtFifteenPercent()
    {
        var tokens = new TokenSource("hub", Key, "p", TimeSpan.FromMinutes(100), _time);
        var first = tokens.Current();

        _time.Advance(TimeSpan.FromMinutes(84));
        Assert.Equal(first, tokens.Current());

        _time.Advance(TimeSpan.FromMinutes(2));
        Assert.NotEqual(first, tokens.Current());
    }

    [Fact]
    public void Clock_SetBack_MakesATokenOfTheUsualLife()
    {
        var tokens = new TokenSource("hub", Key, "p", TimeSpan.FromMinutes(5), _time);
        var first = tokens.Current();

        _time.AdjustTime(_time.GetUtcNow() - TimeSpan.FromHours(1));

        Assert.NotEqual(first, tokens.Current());
    }
}
