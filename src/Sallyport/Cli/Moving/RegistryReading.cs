using System.Runtime.CompilerServices;
using System.Text.Json.Nodes;
using Sallyport.Client.Service;

namespace Sallyport.Cli.Moving;

/// <summary>A device of a hub with all that is its.</summary>
internal sealed record ReadDevice(JsonObject Identity, JsonObject? Twin, IReadOnlyList<(JsonObject Identity, JsonObject? Twin)> Modules);

/// <summary>Reads a whole registry a page at a time: identities and twins come in the same order of their ids, and are put together as they come.</summary>
internal static class RegistryReading
{
    private const int PageRows = 1000;

    public static async IAsyncEnumerable<ReadDevice> ReadAsync(ServiceClient client, [EnumeratorCancellation] CancellationToken cancel)
    {
        var twins = new Cursor(client.QueryAsync("SELECT * FROM devices", PageRows, cancel).GetAsyncEnumerator(cancel));
        var ofModules = new Cursor(client.QueryAsync("SELECT * FROM devices.modules", PageRows, cancel).GetAsyncEnumerator(cancel));
        await using var _ = twins.ConfigureAwait(false);
        await using var __ = ofModules.ConfigureAwait(false);
        await foreach (var device in client.EnumerateDevicesAsync(cancel).ConfigureAwait(false))
        {
            var id = device["deviceId"]!.ToString();
            var twin = (await twins.TakeAsync(id).ConfigureAwait(false)) is [var one, ..] ? one : null;
            var moduleTwins = (await ofModules.TakeAsync(id).ConfigureAwait(false)).ToDictionary(module => module["moduleId"]!.ToString(), StringComparer.Ordinal);
            var modules = moduleTwins.Count == 0 ? [] : (await client.ListModulesAsync(id, cancel).ConfigureAwait(false)).OfType<JsonObject>()
                .Select(module => (module, moduleTwins.GetValueOrDefault(module["moduleId"]!.ToString()))).ToList();
            yield return new ReadDevice(device, twin, modules);
        }
    }

    // Rows in the order of their devices' ids.
    private sealed class Cursor(IAsyncEnumerator<JsonObject> rows) : IAsyncDisposable
    {
        private JsonObject? _next;
        private bool _isOver;

        /// <summary>Those of one device; what is before it is passed over, as its device is gone.</summary>
        public async ValueTask<List<JsonObject>> TakeAsync(string deviceId)
        {
            List<JsonObject> taken = [];
            while (await PeekAsync().ConfigureAwait(false) is { } row && string.CompareOrdinal(row["deviceId"]!.ToString(), deviceId) is <= 0 and var order)
            {
                if (order == 0)
                    taken.Add(row);
                _next = null;
            }

            return taken;
        }

        public ValueTask DisposeAsync() => rows.DisposeAsync();

        private async ValueTask<JsonObject?> PeekAsync()
        {
            if (_next is null && !_isOver)
            {
                _isOver = !await rows.MoveNextAsync().ConfigureAwait(false);
                _next = _isOver ? null : rows.Current;
            }

            return _next;
        }
    }
}
