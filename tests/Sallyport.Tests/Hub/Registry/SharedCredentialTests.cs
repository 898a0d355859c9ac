using Sallyport.Hub.Access;
using Sallyport.Hub.Limits;
using Sallyport.Hub.Physical;
using Sallyport.Hub.Registry;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;

namespace Sallyport.Tests.Hub.Registry;

/// <summary>Whoever holds a key of two identities could be both: the second one is refused.</summary>
public sealed class SharedCredentialTests
{
    private static readonly string One = Convert.ToBase64String(Enumerable.Repeat((byte)1, 32).ToArray());
    private static readonly string Two = Convert.ToBase64String(Enumerable.Repeat((byte)2, 32).ToArray());
    private static readonly string Three = Convert.ToBase64String(Enumerable.Repeat((byte)3, 32).ToArray());
    private static readonly string Thumbprint = new('A', 40);

    [Theory]
    [InlineData(true, true)]
    [InlineData(true, false)]
    [InlineData(false, true)]
    [InlineData(false, false)]
    public async Task Create_WithAKeyOfAnother_IsRefusedInEitherPlace(bool hasPrimary, bool givesPrimary)
    {
        await using var fixture = await RegistryFixture.OpenAsync();
        await fixture.CreateAsync("d1", draft: Keys(hasPrimary ? One : Two, hasPrimary ? Two : One));

        var refused = await Assert.ThrowsAsync<HubException>(() => fixture.CreateAsync("d2", draft: Keys(givesPrimary ? One : Three, givesPrimary ? Three : One)));

        Assert.Same(HubErrors.Conflict, refused.Error);
        Assert.StartsWith($"authentication.symmetricKey.{(givesPrimary ? "primary" : "secondary")}Key: another identity has it already", refused.Message);
        Assert.DoesNotContain(One, refused.Message);
        Assert.DoesNotContain("d1", refused.Message);
        Assert.Null(fixture.Stored("d2"));
    }

    [Fact]
    public async Task Create_WithAThumbprintOfAnother_IsRefused_WhateverItsCase()
    {
        await using var fixture = await RegistryFixture.OpenAsync();
        await fixture.CreateAsync("d1", draft: new() { Credential = new() { SecondaryThumbprint = Thumbprint } });

        await RegistryFixture.RefusedAsync(
            HubErrors.Conflict, () => fixture.CreateAsync("d2", draft: new() { Credential = new() { PrimaryThumbprint = Thumbprint.ToLowerInvariant() } }));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Create_WithTheThumbprintOfAnOperator_IsRefused_UnlessSharingIsAllowed(bool isAllowed)
    {
        await using var fixture = await RegistryFixture.OpenAsync(new RegistryOptions { AllowSharedCredentials = isAllowed });
        var thumbprint = string.Concat(Enumerable.Repeat("ab", 32));
        using var policies = await Policies.OpenAsync(fixture.Metadata, fixture.Tags, fixture.Audit, fixture.Time, TestContext.Current.CancellationToken);
        await policies.CreateOperatorAsync(
            RegistryFixture.Owner, "alice", Rights.RegistryRead, Scope.Everything, TimeSpan.FromHours(1), OperatorCertificate.Of(thumbprint), TestContext.Current.CancellationToken);
        var draft = new IdentityDraft { Credential = new() { PrimaryThumbprint = new string('B', 64), SecondaryThumbprint = thumbprint } };

        if (isAllowed)
        {
            await fixture.CreateAsync("d1", draft: draft);
            return;
        }

        var refused = await Assert.ThrowsAsync<HubException>(() => fixture.CreateAsync("d1", draft: draft));
        Assert.Same(HubErrors.Conflict, refused.Error);
        Assert.StartsWith("authentication.x509Thumbprint.secondaryThumbprint: it is an operator's certificate", refused.Message);
        Assert.DoesNotContain("alice", refused.Message);
        Assert.Null(fixture.Stored("d1"));
    }

    [Fact]
    public async Task Create_ModuleWithTheKeyOfItsDevice_IsRefused()
    {
        await using var fixture = await RegistryFixture.OpenAsync();
        await fixture.CreateAsync("d1", draft: Keys(One, Two));

        await RegistryFixture.RefusedAsync(HubErrors.Conflict, () => fixture.CreateAsync("d1", "m1", Keys(Two, Three)));
    }

    [Fact]
    public async Task Update_ToAKeyOfAnother_IsRefused_AndItsOwnIsNot()
    {
        await using var fixture = await RegistryFixture.OpenAsync();
        await fixture.CreateAsync("d1", draft: Keys(One, Two));
        var other = await fixture.CreateAsync("d2");

        await RegistryFixture.RefusedAsync(HubErrors.Conflict, () => fixture.UpdateAsync("d2", Keys(One, other.SecondaryKey!)));
        await fixture.UpdateAsync("d1", Keys(Two, One));
        await fixture.UpdateAsync("d1", Keys(Three, Three));
        await fixture.UpdateAsync("d2", Keys(One, other.SecondaryKey!));
    }

    [Fact]
    public async Task Bulk_WithOneKeyForTwo_TakesTheFirst()
    {
        await using var fixture = await RegistryFixture.OpenAsync();

        var outcomes = await fixture.Registry.ChangeAsync(
            RegistryFixture.Owner,
            [.. new[] { "d1", "d2" }.Select(id => new IdentityChange(Identity.Of(id), PutMode.Create, Keys(One, ""), EntityTagCondition.Any))],
            TestContext.Current.CancellationToken);

        Assert.Null(outcomes[0].Refusal);
        Assert.Same(HubErrors.Conflict, outcomes[1].Refusal!.Error);
    }

    [Fact]
    public async Task Create_WhenSharingIsAllowed_IsDone_AndWhatWasSharedMayStay()
    {
        await using var fixture = await RegistryFixture.OpenAsync(new RegistryOptions { AllowSharedCredentials = true });
        await fixture.CreateAsync("d1", draft: Keys(One, Two));
        await fixture.CreateAsync("d2", draft: Keys(One, Three));
        var strict = new DeviceRegistry(
            fixture.Metadata, fixture.Connected, fixture.Activity, fixture.Cache, fixture.Tags, fixture.Audit, new(["hub.test"]), new RegistryOptions(), new Quotas(new QuotaOptions(), fixture.Time), new NoKeyAttestation(), fixture.Time);

        // An SDK that changes the status sends the keys back with it.
        var kept = await strict.ChangeAsync(
            RegistryFixture.Owner,
            new IdentityChange(Identity.Of("d2"), PutMode.Update, Keys(One, Three) with { Enabled = false }, EntityTagCondition.Any),
            TestContext.Current.CancellationToken);

        Assert.False(kept!.Record.Enabled);
    }

    [Fact]
    public async Task Age_OfAKey_BeginsWhenItIsGiven_AndMovesWithIt()
    {
        await using var fixture = await RegistryFixture.OpenAsync();
        var created = fixture.Time.GetUtcNow();
        await fixture.CreateAsync("d1", draft: Keys(One, Two));
        fixture.Time.Advance(TimeSpan.FromDays(1));

        await fixture.UpdateAsync("d1", new() { Renewal = KeyRenewal.Primary });
        Assert.Equal((fixture.Time.GetUtcNow(), created), Ages());
        await fixture.UpdateAsync("d1", new() { Renewal = KeyRenewal.Swap });
        Assert.Equal((created, fixture.Time.GetUtcNow()), Ages());
        await fixture.UpdateAsync("d1", new() { Enabled = false });
        Assert.Equal((created, fixture.Time.GetUtcNow()), Ages());

        (DateTimeOffset?, DateTimeOffset?) Ages() => (fixture.Stored("d1")!.PrimarySince, fixture.Stored("d1")!.SecondarySince);
    }

    private static IdentityDraft Keys(string primary, string secondary) => new() { Credential = new() { PrimaryKey = primary, SecondaryKey = secondary } };
}
