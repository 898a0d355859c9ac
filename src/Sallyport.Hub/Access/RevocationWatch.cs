namespace Sallyport.Hub.Access;

/// <summary>Tells a request that lasts when the token that opened it is revoked. Owned by that request.</summary>
public sealed class RevocationWatch : IDisposable
{
    private readonly RevokedTokens _revoked;
    private readonly string _fingerprint;
    private readonly CancellationTokenSource _source = new();

    public RevocationWatch(RevokedTokens revoked, string fingerprint)
    {
        _revoked = revoked;
        _fingerprint = fingerprint;
        _revoked.Changed += Look;
        Look(); // It may have been revoked between the check of the request and now.
    }

    /// <summary>Cancelled when the token is revoked.</summary>
    public CancellationToken Revoked => _source.Token;

    public void Dispose()
    {
        _revoked.Changed -= Look;

        // Not disposed: a change under way may still cancel it, and it has no timer.
    }

    private void Look()
    {
        if (_revoked.IsRevoked(_fingerprint))
            _source.Cancel();
    }
}
