using Sallyport.Storage.Metadata;

namespace Sallyport.Tests.Storage.Metadata;

/// <summary>Another store, with what a test has to say between.</summary>
internal abstract class MetadataDecorator(IMetadata inner) : IMetadata
{
    public string HubId => inner.HubId;
    public IIdentityStore Identities => inner.Identities;
    public IScopeStore Scopes => inner.Scopes;
    public ITwinStore Twins => inner.Twins;
    public IQuarantineStore Quarantine => inner.Quarantine;
    public IIpFilterStore IpFilter => inner.IpFilter;
    public IPolicyStore Policies => inner.Policies;
    public ISubscriptionStore Subscriptions => inner.Subscriptions;
    public ICheckpointStore Checkpoints => inner.Checkpoints;
    public IConsumerGroupStore ConsumerGroups => inner.ConsumerGroups;
    public IConnectionStore Connections => inner.Connections;
    public IOutboxStore Outbox => inner.Outbox;
    public ICertificateAuthorityStore CertificateAuthorities => inner.CertificateAuthorities;
    public IRevocationStore Revocations => inner.Revocations;
    public ICommandStore Commands => inner.Commands;
    public IFeedbackStore Feedback => inner.Feedback;
    public IRegistryJobStore RegistryJobs => inner.RegistryJobs;
    public IUploadStore Uploads => inner.Uploads;
    public IFileNotificationStore FileNotifications => inner.FileNotifications;
    public IJobStore Jobs => inner.Jobs;
    public IConfigurationStore Configurations => inner.Configurations;

    public virtual ValueTask<T> WriteAsync<T>(Func<MetadataTransaction, T> act, CancellationToken cancel = default) => inner.WriteAsync(act, cancel);

    public virtual ValueTask<T> WriteAsync<T>(Func<MetadataTransaction, T> act, Action<T> committed, CancellationToken cancel = default) =>
        inner.WriteAsync(act, committed, cancel);

    public virtual T Read<T>(Func<MetadataTransaction, T> look) => inner.Read(look);

    public virtual ValueTask DisposeAsync() => inner.DisposeAsync();
}
