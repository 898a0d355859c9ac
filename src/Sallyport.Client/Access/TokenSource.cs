using Sallyport.Protocol.Sas;

namespace Sallyport.Client.Access;

/// <summary>Makes the tokens of one resource and renews them when 15 % of their life is left. Thread-safe. Never prints.</summary>
/// <param name="resource">For example <c>hub.example.org/devices/d1</c>, not encoded.</param>
/// <param name="key">Base64.</param>
/// <param name="policyName">Null for an identity's own key.</param>
/// <param name="isForEventHubs">Signed with the key's text, not with what that decodes to; the resource begins with <c>sb://</c>.</param>
internal sealed class TokenSource(string resource, string key, string? policyName, TimeSpan lifetime, TimeProvider time, bool isForEventHubs = false)
{
    private const double RenewalShare = 0.15;

    private Token _current = new("", DateTimeOffset.MinValue);

    /// <summary>A token with at least 15 % of its life left.</summary>
    public string Current()
    {
        var token = Volatile.Read(ref _current);
        var now = time.GetUtcNow();
        var left = token.Expires - now;
        // More than a whole life left: the clock was set back.
        if (left > lifetime * RenewalShare && left <= lifetime + TimeSpan.FromSeconds(1))
            return token.Text;

        token = new Token(Create(now + lifetime), now + lifetime);
        Volatile.Write(ref _current, token);
        return token.Text;
    }

    /// <summary>How long from now until <see cref="Current"/> makes a new one.</summary>
    public TimeSpan UntilRenewal => Volatile.Read(ref _current).Expires - time.GetUtcNow() - (lifetime * RenewalShare);

    private string Create(DateTimeOffset expires) => isForEventHubs
        ? SharedAccessSignature.CreateForEventHubs(resource, key, expires, policyName!)
        : SharedAccessSignature.Create(resource, key, expires, policyName);

    private sealed record Token(string Text, DateTimeOffset Expires)
    {
        public override string ToString() => $"token until {Expires:O}";
    }
}
