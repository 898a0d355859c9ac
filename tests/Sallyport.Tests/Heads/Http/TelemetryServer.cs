using System.Net.Http.Headers;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Sallyport.Heads.Http;
using Sallyport.Hub.Access;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Devices;
using Sallyport.Hub.Diagnosis;
using Sallyport.Hub.Limits;
using Sallyport.Hub.Physical;
using Sallyport.Hub.Registry;
using Sallyport.Hub.Telemetry;
using Sallyport.Storage.EventLog;
using Sallyport.Storage.Metadata;
using Sallyport.Tests.Hub.Access;
using Sallyport.Tests.Hub.Telemetry;
using Sallyport.Tests.Storage.Metadata;

namespace Sallyport.Tests.Heads.Http;

/// <summary>The telemetry routes of the HTTP head on a real socket, log and metadata store; who may come in is scripted.</summary>
internal sealed class TelemetryServer : IAsyncDisposable
{
    private readonly SqliteFixture _metadata = new();
    private WebApplication _server = null!;

    public TelemetryLog Telemetry { get; private set; } = null!;

    public ConnectedDevices Connected { get; private set; } = null!;

    public HttpClient Client { get; } = new() { Timeout = TimeSpan.FromSeconds(30) };

    /// <param name="withdrawn">Cancelled when the caller's policy is.</param>
    /// <param name="log">What is served instead of the log itself.</param>
    public static async Task<TelemetryServer> StartAsync(
        Rights held = Rights.TelemetryRead, EventReadOptions? options = null, Func<IEventLog, IEventLog>? log = null,
        QuotaOptions? quotas = null, CancellationToken withdrawn = default)
    {
        var server = new TelemetryServer { Telemetry = await TelemetryLog.OpenAsync() };
        var authentication = new StubAuthentication(held) { Withdrawn = withdrawn };
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        var attempts = new Attempts(_ => true, server.Telemetry.Time);
        server.Connected = new ConnectedDevices(attempts, server.Telemetry.Time);
        builder.Services.AddHttpBounds()
            .AddSingleton<TimeProvider>(server.Telemetry.Time)
            .AddSingleton<IServiceAuthentication>(authentication)
            .AddSingleton<IDeviceAuthentication>(authentication)
            .AddSingleton<IEventLog>(log is null ? server.Telemetry.Log : log(server.Telemetry.Log))
            .AddSingleton<IMetadata>(await server._metadata.OpenAsync())
            .AddSingleton(attempts)
            .AddSingleton<IAuditTrail, RecordingAudit>()
            .AddSingleton<PrivilegedReads>()
            .AddSingleton<RevokedTokens>()
            .AddSingleton(server.Connected)
            .AddSingleton<ActivityWriteBack>()
            .AddSingleton<QuarantineLine>()
            .AddSingleton<Ingest>()
            .AddSingleton(quotas ?? new QuotaOptions())
            .AddSingleton<Quotas>()
            .AddSingleton<EventReader>()
            .AddSingleton<Checkpoints>()
            .AddSingleton<ConsumerGroups>()
            .AddSingleton(options ?? new EventReadOptions())
            .AddSingleton<EventRoutes>()
            .AddSingleton<CheckpointRoutes>()
            .AddSingleton<ConsumerGroupRoutes>()
            .AddSingleton<DeviceTelemetryRoutes>();
        server._server = builder.Build();
        server._server.UseRouteAccess();
        server._server.Services.GetRequiredService<EventRoutes>().Map(server._server);
        server._server.Services.GetRequiredService<CheckpointRoutes>().Map(server._server);
        server._server.Services.GetRequiredService<ConsumerGroupRoutes>().Map(server._server);
        server._server.Services.GetRequiredService<DeviceTelemetryRoutes>().Map(server._server);
        await server._server.StartAsync(CancellationToken.None);
        server.Client.BaseAddress = new Uri(server._server.Urls.Single());
        server.Client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("good");
        return server;
    }

    public Task StopAsync() => _server.StopAsync();

    /// <summary>The events of one partition or all, as lines.</summary>
    public async Task<string[]> EventsAsync(string query = "")
    {
        var text = await Client.GetStringAsync($"/manage/v1/events?follow=false&from=earliest{query}");
        return text.Split('\n', StringSplitOptions.RemoveEmptyEntries);
    }

    public async ValueTask DisposeAsync()
    {
        Client.Dispose();
        await _server.DisposeAsync();
        await Telemetry.DisposeAsync();
        _metadata.Dispose();
    }
}
