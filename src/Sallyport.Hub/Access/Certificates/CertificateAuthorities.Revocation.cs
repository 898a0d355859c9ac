using Sallyport.Hub.Audit;
using Sallyport.Hub.Registry;
using Sallyport.Protocol.Errors;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Access.Certificates;

/// <content>What is done about revocation, and the lists it is done by. Lists are read when they are taken, never while a device waits.</content>
public sealed partial class CertificateAuthorities
{
    /// <summary>Of all lists of an authority together: about 50,000 revoked certificates.</summary>
    public const int MaxRevocationListBytes = 2 * 1024 * 1024;

    /// <summary>How often a list is fetched anew; after a failure too.</summary>
    public static readonly TimeSpan RenewalInterval = TimeSpan.FromHours(1);

    private static readonly TimeSpan LookInterval = TimeSpan.FromMinutes(1);

    /// <summary>Says what is done about revoked certificates, and gives the list or where it is.</summary>
    /// <param name="lists">One or more lists, DER or PEM; null keeps those there are, or fetches them from <paramref name="url"/>.</param>
    /// <param name="url">https; the list is fetched at once, and then every <see cref="RenewalInterval"/>.</param>
    /// <exception cref="HubException">400: a value is not valid, or the list cannot be had or taken; 404, 412; 503: the audit trail cannot be written.</exception>
    public async ValueTask<CertificateAuthorityState> SetRevocationAsync(
        Actor actor, string name, RevocationCheck check, byte[]? lists, string? url, EntityTagCondition condition, CancellationToken cancel)
    {
        if (lists is not null && url is not null)
            throw Invalid("give a list or a url, not both");
        if (check is RevocationCheck.Off && (lists is not null || url is not null))
            throw Invalid("revocation that is off takes no list and no url");
        if (url is not null)
            lists = await FetchAsync(AddressOf(url), cancel);

        return await ChangeAsync(
            actor, "certificate revocation", name,
            () =>
            {
                var record = Require(name, condition);
                if (check is not RevocationCheck.Off && lists is null && Require(name).ListsTakenTime is null)
                    throw Invalid("a revocation list, or the url of one, is needed");
                if (lists is not null)
                    Take(Require(name), lists);
                return record with { Revocation = check, CrlUrl = check is RevocationCheck.Off ? null : lists is null ? record.CrlUrl : url, UpdatedTime = _time.GetUtcNow() };
            },
            cancel,
            tx =>
            {
                if (check is RevocationCheck.Off)
                    _metadata.CertificateAuthorities.DeleteRevocationList(tx, name);
                else if (lists is not null)
                    _metadata.CertificateAuthorities.PutRevocationList(tx, new RevocationListRecord(name, lists, _time.GetUtcNow()));
            });
    }

    /// <summary>Fetches lists anew as they become due, until it is cancelled.</summary>
    public async Task RenewListsAsync(CancellationToken cancel)
    {
        var tried = new Dictionary<string, DateTimeOffset>();
        using var timer = new PeriodicTimer(LookInterval, _time);
        try
        {
            while (await timer.WaitForNextTickAsync(cancel))
            {
                var now = _time.GetUtcNow();
                foreach (var authority in _current.All.Where(authority => authority.Record.CrlUrl is not null))
                {
                    var last = tried.GetValueOrDefault(authority.Record.Name, authority.ListsTakenTime ?? default);
                    if (now - last < RenewalInterval)
                        continue;

                    tried[authority.Record.Name] = now;
                    await RenewAsync(authority.Record.Name, authority.Record.CrlUrl!, cancel);
                }
            }
        }
        catch (OperationCanceledException) when (cancel.IsCancellationRequested)
        {
            return;
        }
    }

    private async Task RenewAsync(string name, string url, CancellationToken cancel)
    {
        byte[] fetched;
        try
        {
            fetched = await FetchAsync(AddressOf(url), cancel);
        }
        catch (HubException notHad)
        {
            await RememberAsync(name, url, null, notHad.Message, cancel);
            return;
        }

        await RememberAsync(name, url, fetched, null, cancel);
    }

    private async Task RememberAsync(string name, string url, byte[]? fetched, string? fault, CancellationToken cancel)
    {
        await _oneChange.WaitAsync(cancel);
        try
        {
            // It may have been changed or deleted while the list was on its way.
            if (_current.Find(name) is not { } authority || authority.Record.CrlUrl != url)
                return;

            if (fetched is not null)
            {
                try
                {
                    Take(authority, fetched);
                    await _metadata.WriteAsync(
                        tx =>
                        {
                            _metadata.CertificateAuthorities.PutRevocationList(tx, new RevocationListRecord(name, fetched, _time.GetUtcNow()));
                            return true;
                        },
                        cancel);
                }
                catch (Exception failed) when (failed is HubException or MetadataWriteException)
                {
                    fault = failed.Message;
                }
            }

            var current = Read();
            _current = new TrustedAuthorities([.. current.All.Select(one => one.Record.Name == name ? one with { RenewalFault = fault } : one)], _kept);
            if (fault is not null)
            {
                _log.RevocationListNotRenewed(name, fault);
                return;
            }

            var renewed = _current.Find(name)!.Lists;
            _log.RevocationListRenewed(name, renewed.RevokedCount, renewed.NextUpdate);
            CloseUnvouched(name);
        }
        finally
        {
            _oneChange.Release();
        }
    }

    private RevocationLists Take(CertificateAuthority authority, byte[] lists)
    {
        try
        {
            return RevocationLists.Take(lists, authority.Certificate, authority.Lists, _time.GetUtcNow());
        }
        catch (FormatException fault)
        {
            throw Invalid($"the revocation list is not taken: {fault.Message}");
        }
    }

    private async Task<byte[]> FetchAsync(Uri url, CancellationToken cancel)
    {
        try
        {
            return await _fetch(url, cancel);
        }
        catch (IOException notHad)
        {
            throw Invalid($"the revocation list cannot be fetched: {notHad.Message}");
        }
    }

    private static Uri AddressOf(string url) =>
        Uri.TryCreate(url, UriKind.Absolute, out var address) && address.Scheme == Uri.UriSchemeHttps && address.UserInfo.Length == 0 && url.Length <= 1024
            ? address
            : throw Invalid("url: an https address without user name is needed");
}
