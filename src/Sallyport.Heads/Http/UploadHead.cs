using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Sallyport.Hub.Uploads;

namespace Sallyport.Heads.Http;

/// <summary>File upload's part of <see cref="HttpHead"/>.</summary>
internal static class UploadHead
{
    public static void AddUploads(this IServiceCollection services)
    {
        services.TryAddSingleton(new UploadOptions());
        services.TryAddSingleton<BodyTurns>();
        services.TryAddSingleton<BuiltInBlobs>();
        services.TryAddSingleton<IBlobStore>(provider => provider.GetRequiredService<BuiltInBlobs>());
        services.TryAddSingleton<FileNotifications>();
        services.TryAddSingleton<FileUploads>();
        services.AddSingleton<UploadRoutes>();
        services.AddSingleton<BlobRoutes>();
        services.AddSingleton<DeviceFileRoutes>();
    }

    public static void MapUploads(this IEndpointRouteBuilder routes)
    {
        routes.ServiceProvider.GetRequiredService<UploadRoutes>().Map(routes);
        routes.ServiceProvider.GetRequiredService<BlobRoutes>().Map(routes);
        routes.ServiceProvider.GetRequiredService<DeviceFileRoutes>().Map(routes);
    }
}
