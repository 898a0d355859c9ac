using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace Sallyport.Client.Access;

/// <summary>Makes the tokens of one resource and renews them when 15 % of their life is left. Thread-safe. Never prints.</summary>
/// <param name="resource">For example <c>hub.example.org/devices/d1</c>, not encoded.</param>
/// <param name="key">Base64.</param>
/// <param name="policyName">Null for an identity's own key.</param>
internal sealed class TokenSource(string resource, string key, string? policyName, TimeSpan lifetime, TimeProvider time)
{
    private readonly byte[] _key = Convert.FromBase64String(key);
    private Token _current = new("", DateTimeOffset.MinValue);

    /// <summary>A token with at least 15 % of its life left.</summary>
    public string Current()
    {
        var token = Volatile.Read(ref _current);
        var now = time.GetUtcNow();
        var left = token.Expires - now;
        // More than a whole life left: the clock was set back.
        if (left > lifetime * 0.15 && left <= lifetime + TimeSpan.FromSeconds(1))
            return token.Text;

        token = Make(now + lifetime);
        Volatile.Write(ref _current, token);
        return token.Text;
    }

    /// <summary>How long until <see cref="Current"/> makes a new one.</summary>
    public TimeSpan UntilRenewal => lifetime * 0.85;

    private Token Make(DateTimeOffset expires)
    {
        var encoded = Uri.EscapeDataString(resource);
        var seconds = expires.ToUnixTimeSeconds().ToString(CultureInfo.InvariantCulture);
        var signature = HMACSHA256.HashData(_key, Encoding.UTF8.GetBytes($"{encoded}\n{seconds}"));
        var text = $"SharedAccessSignature sr={encoded}&sig={Uri.EscapeDataString(Convert.ToBase64String(signature))}&se={seconds}"
            + (policyName is null ? "" : "&skn=" + Uri.EscapeDataString(policyName));
        return new Token(text, expires);
    }

    private sealed record Token(string Text, DateTimeOffset Expires)
    {
        public override string ToString() => $"token until {Expires:O}";
    }
}
