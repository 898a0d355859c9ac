using Microsoft.AspNetCore.Routing;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Sallyport.Hub.Access;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Commands;
using Sallyport.Hub.Configurations;
using Sallyport.Hub.Diagnosis;
using Sallyport.Hub.Jobs;
using Sallyport.Hub.Limits;
using Sallyport.Hub.Methods;
using Sallyport.Hub.Moving;
using Sallyport.Hub.Physical;
using Sallyport.Hub.Posture;
using Sallyport.Hub.Queries;
using Sallyport.Hub.Registry;
using Sallyport.Hub.Telemetry;
using Sallyport.Hub.Twins;

namespace Sallyport.Heads.Http;

/// <summary>
/// The HTTP head: Azure IoT Hub's REST and <c>/manage/v1</c>. Composed by
/// <c>services.AddHttpHead()</c>, <c>application.UseRouteAccess()</c> and <c>application.MapHttpHead()</c>.
/// </summary>
public static class HttpHead
{
    /// <summary>
    /// Registers the routes and bounds Kestrel. The composition gives the rest: <c>IMetadata</c>, <c>IEventLog</c>, <c>ConnectedDevices</c>,
    /// <c>IdentityCache</c>, <c>Policies</c>, <c>CertificateAuthorities</c>, <c>HubNames</c>, <c>IServiceAuthentication</c>, <c>IDeviceAuthentication</c>,
    /// <c>BlobFiles</c>, <c>BlobSignature</c>, <c>IAuditTrail</c>, <c>AuditTrail</c>, <c>AuditReader</c>, <c>AuditKeys</c>, <see cref="ISettingsInForce"/>, <c>TimeProvider</c> and logging.
    /// </summary>
    public static IServiceCollection AddHttpHead(this IServiceCollection services)
    {
        services.AddHttpBounds();
        services.TryAddSingleton<ActivityWriteBack>();
        services.TryAddSingleton(new RegistryOptions());
        services.TryAddSingleton<IKeyAttestation, NoKeyAttestation>();
        services.TryAddSingleton(new QuotaOptions());
        services.TryAddSingleton<Quotas>();
        services.TryAddSingleton<DeviceRegistry>();
        services.TryAddSingleton<PrivilegedReads>();
        services.TryAddSingleton<DeviceTwins>();
        services.AddSingleton<TwinRoutes>();
        services.TryAddSingleton(new QueryLimits());
        services.TryAddSingleton<TwinQueries>();
        services.AddSingleton<QueryRoutes>();
        services.TryAddSingleton(new ConfigurationOptions());
        services.TryAddSingleton<ConfigurationRollout>();
        services.TryAddSingleton<AutomaticConfigurations>();
        services.AddSingleton<ConfigurationRoutes>();
        services.AddSingleton<RegistryRoutes>();
        services.TryAddSingleton<BulkChanges>();
        services.AddSingleton<BulkRoutes>();
        services.TryAddSingleton<DeviceScopes>();
        services.AddSingleton<ScopeRoutes>();
        services.TryAddSingleton<IJobContainers, NoContainers>();
        services.TryAddSingleton<MovedConfigurations>();
        services.TryAddSingleton<RegistryImport>();
        services.TryAddSingleton<RegistryExport>();
        services.TryAddSingleton<RegistryJobs>();
        services.AddSingleton<RegistryJobRoutes>();
        services.AddSingleton<PolicyRoutes>();
        services.AddSingleton<OperatorRoutes>();
        services.AddSingleton<CertificateRoutes>();
        services.TryAddSingleton(new BackoffOptions());
        services.TryAddSingleton<FailureBackoff>();
        services.TryAddSingleton(new ConnectionLimitsOptions());
        services.TryAddSingleton<PreAuthenticationLimits>();
        services.TryAddSingleton<IpFilter>();
        services.AddSingleton<LimitRoutes>();
        services.AddSingleton<TokenExplainer>();
        services.AddSingleton<TokenRevocation>();
        services.AddSingleton<TokenRoutes>();
        services.AddSingleton<DiagnosisRoutes>();
        services.AddSingleton<StatusRoutes>();
        services.AddSingleton<AuditRoutes>();
        services.AddSingleton<OpenApi>();
        services.TryAddSingleton<QuarantineLine>();
        services.TryAddSingleton<Quarantine>();
        services.AddSingleton<QuarantineRoutes>();
        services.TryAddSingleton(new CloneRule());
        services.TryAddSingleton<CloneSuspicion>();
        services.TryAddSingleton<Sightings>();
        services.TryAddSingleton<Func<HubFacts>>(() => new HubFacts());
        services.TryAddSingleton<PostureCheck>();
        services.AddSingleton<PostureRoutes>();
        services.TryAddSingleton<Ingest>();
        services.TryAddSingleton<EventReader>();
        services.TryAddSingleton<Checkpoints>();
        services.TryAddSingleton<ConsumerGroups>();
        services.TryAddSingleton(new EventReadOptions());
        services.AddSingleton<EventRoutes>();
        services.AddSingleton<CheckpointRoutes>();
        services.AddSingleton<ConsumerGroupRoutes>();
        services.AddSingleton<DeviceTelemetryRoutes>();
        services.TryAddSingleton<DirectMethods>();
        services.AddSingleton<MethodRoutes>();
        services.AddSingleton<DigitalTwinRoutes>();
        services.TryAddSingleton(new CommandOptions());
        services.TryAddSingleton<Feedback>();
        services.TryAddSingleton<CommandQueues>();
        services.AddSingleton<CommandRoutes>();
        services.AddSingleton<DeadCommandRoutes>();
        services.AddSingleton<DeviceCommandRoutes>();
        services.AddSingleton<NoticeRoutes>();
        services.AddUploads();
        services.TryAddSingleton(new JobOptions());
        services.TryAddSingleton<ScheduledJobs>();
        services.AddSingleton<JobRoutes>();
        return services;
    }

    /// <summary>What every request is bounded by before it reaches a route.</summary>
    internal static IServiceCollection AddHttpBounds(this IServiceCollection services) =>
        services.AddRouting().Configure<KestrelServerOptions>(Bound);

    public static IEndpointRouteBuilder MapHttpHead(this IEndpointRouteBuilder routes)
    {
        routes.ServiceProvider.GetRequiredService<RegistryRoutes>().Map(routes);
        routes.ServiceProvider.GetRequiredService<TwinRoutes>().Map(routes);
        routes.ServiceProvider.GetRequiredService<QueryRoutes>().Map(routes);
        routes.ServiceProvider.GetRequiredService<ConfigurationRoutes>().Map(routes);
        routes.ServiceProvider.GetRequiredService<BulkRoutes>().Map(routes);
        routes.ServiceProvider.GetRequiredService<ScopeRoutes>().Map(routes);
        routes.ServiceProvider.GetRequiredService<RegistryJobRoutes>().Map(routes);
        routes.ServiceProvider.GetRequiredService<PolicyRoutes>().Map(routes);
        routes.ServiceProvider.GetRequiredService<OperatorRoutes>().Map(routes);
        routes.ServiceProvider.GetRequiredService<CertificateRoutes>().Map(routes);
        routes.ServiceProvider.GetRequiredService<LimitRoutes>().Map(routes);
        routes.ServiceProvider.GetRequiredService<TokenRoutes>().Map(routes);
        routes.ServiceProvider.GetRequiredService<DiagnosisRoutes>().Map(routes);
        routes.ServiceProvider.GetRequiredService<StatusRoutes>().Map(routes);
        routes.ServiceProvider.GetRequiredService<AuditRoutes>().Map(routes);
        routes.ServiceProvider.GetRequiredService<OpenApi>().Map(routes);
        routes.ServiceProvider.GetRequiredService<DeviceTelemetryRoutes>().Map(routes);
        routes.ServiceProvider.GetRequiredService<MethodRoutes>().Map(routes);
        routes.ServiceProvider.GetRequiredService<DigitalTwinRoutes>().Map(routes);
        routes.ServiceProvider.GetRequiredService<CommandRoutes>().Map(routes);
        routes.ServiceProvider.GetRequiredService<DeadCommandRoutes>().Map(routes);
        routes.ServiceProvider.GetRequiredService<DeviceCommandRoutes>().Map(routes);
        routes.ServiceProvider.GetRequiredService<NoticeRoutes>().Map(routes);
        routes.MapUploads();
        routes.ServiceProvider.GetRequiredService<JobRoutes>().Map(routes);
        routes.ServiceProvider.GetRequiredService<EventRoutes>().Map(routes);
        routes.ServiceProvider.GetRequiredService<CheckpointRoutes>().Map(routes);
        routes.ServiceProvider.GetRequiredService<ConsumerGroupRoutes>().Map(routes);
        routes.ServiceProvider.GetRequiredService<QuarantineRoutes>().Map(routes);
        routes.ServiceProvider.GetRequiredService<PostureRoutes>().Map(routes);
        return routes;
    }

    // A token and an id of 128 characters take about 1 KiB; SDKs send few other headers.
    private static void Bound(KestrelServerOptions kestrel)
    {
        kestrel.AddServerHeader = false;
        kestrel.Limits.MaxRequestHeadersTotalSize = 16 * 1024;
        kestrel.Limits.MaxRequestHeaderCount = 64;
        kestrel.Limits.MaxRequestLineSize = 4 * 1024;
        kestrel.Limits.RequestHeadersTimeout = TimeSpan.FromSeconds(10);
        kestrel.Limits.MaxRequestBodySize = RouteAccessMiddleware.MaxBodyBytes;
    }
}
