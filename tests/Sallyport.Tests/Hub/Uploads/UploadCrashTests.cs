using Sallyport.Storage.Metadata;

namespace Sallyport.Tests.Hub.Uploads;

/// <summary>The hub dies between any two steps of an upload, and in the middle of them: nothing that was accepted is lost, nothing is told twice.</summary>
public sealed class UploadCrashTests
{
    private const int Steps = 40;

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(5)]
    [InlineData(6)]
    [InlineData(7)]
    [InlineData(8)]
    public async Task Hub_ThatDies_LosesNoUploadBlockFileOrNotification_AndTellsNothingTwice(int seed)
    {
        await using var hub = await UploadsFixture.OpenAsync();
        var run = new Run(hub, new Random(seed));
        for (var step = 0; step < Steps; step++)
            await run.StepAsync();
        Assert.True(run.Deaths > 10, "it hardly died");
    }

    /// <summary>What its device was told of an upload; while something changes, before and after.</summary>
    private sealed class Known(UploadRecord record)
    {
        public UploadRecord Record { get; } = record;

        public Dictionary<string, string> Blocks { get; } = [];

        public UploadState[] States { get; set; } = [UploadState.Open];

        public bool HasFile { get; set; }

        public bool IsOpen => States is [UploadState.Open];
    }

    private sealed class Run(UploadsFixture hub, Random random)
    {
        private readonly List<Known> _uploads = [];
        private readonly Dictionary<string, string?[]> _files = [];
        private int _serial;

        // Of notifications: how many wait at least, and at most.
        private (int Least, int Most) _waiting;

        public int Deaths { get; private set; }

        public async Task StepAsync()
        {
            var open = _uploads.Where(upload => upload.IsOpen).ToList();
            var one = open.Count == 0 ? null : open[random.Next(open.Count)];
            switch (random.Next(8))
            {
                case 0 or 1 when open.Count < hub.Options.MaxActive:
                    await BeginAsync();
                    break;
                case 2 or 3 when one is not null:
                    await PutAsync(one);
                    break;
                case 4 or 5 when one is { Blocks.Count: > 0 }:
                    await CommitAsync(one);
                    break;
                case 6 when one is not null:
                    await EndAsync(one);
                    break;
                default:
                    await TakeAsync();
                    break;
            }
        }

        private async Task BeginAsync()
        {
            var beginning = hub.BeginAsync($"f{random.Next(4)}");
            await DieAsync();
            _uploads.Add(new Known(await beginning));
            await DieAsync();
        }

        private async Task PutAsync(Known upload)
        {
            var (id, content) = ($"{random.Next(3)}", $"{++_serial} ");
            upload.Blocks.Remove(id); // Under way it is the one before, or this.
            var putting = hub.PutBlockAsync(upload.Record, id, content);
            await DieAsync();
            await putting;
            upload.Blocks[id] = content;
            await DieAsync();
        }

        private async Task CommitAsync(Known upload)
        {
            var name = upload.Record.BlobName;
            var ids = upload.Blocks.Keys.Order().ToArray();
            var content = string.Concat(ids.Select(id => upload.Blocks[id]));
            _files[name] = [_files.GetValueOrDefault(name, [null])[^1], content];
            var committing = hub.CommitAsync(upload.Record, ids);
            await DieAsync();
            await committing;
            _files[name] = [content];
            foreach (var other in _uploads.Where(other => other.Record.BlobName == name))
                other.HasFile = other == upload;
            await DieAsync();
        }

        private async Task EndAsync(Known upload)
        {
            var isSuccess = upload.HasFile;
            upload.States = [UploadState.Open, isSuccess ? UploadState.Done : UploadState.Failed];
            _waiting.Most += isSuccess ? 1 : 0;
            var ending = hub.EndAsync(upload.Record, isSuccess);
            await DieAsync();
            await ending;
            upload.States = [upload.States[1]];
            _waiting.Least = _waiting.Most;
            var tidying = hub.LookAfterAsync();
            await DieAsync();
            await tidying;
            await DieAsync();
        }

        private async Task TakeAsync()
        {
            if (hub.Notifications.Receive(this) is not { } told)
                return;

            await DieAsync();
            _waiting.Least--;
            var taking = hub.Notifications.CompleteAsync(told.Token).AsTask();
            await DieAsync();
            Assert.True(await taking);
            _waiting.Most = _waiting.Least;
        }

        private async Task DieAsync()
        {
            if (random.Next(2) == 0)
                return;

            Deaths++;
            await using var after = await hub.AfterCrashAsync();
            after.Blobs.Sweep();
            await after.LookAfterAsync();
            foreach (var upload in _uploads)
                Assert.Contains(after.Metadata.Read(tx => after.Metadata.Uploads.Find(tx, upload.Record.Id))!.State, upload.States);
            foreach (var (name, allowed) in _files)
                Assert.Contains(await after.ReadAsync($"d1/{name}"), allowed);
            Assert.InRange(after.Metadata.Read(tx => after.Metadata.FileNotifications.List(tx, 0, 1000)).Count, _waiting.Least, _waiting.Most);
            foreach (var upload in _uploads.Where(upload => upload.IsOpen && after.Metadata.Read(tx => after.Metadata.Uploads.Find(tx, upload.Record.Id))!.State == UploadState.Open))
                await CommitAllAsync(after, upload);
            Assert.Empty(MetadataVerification.Verify(after.Metadata, CancellationToken.None));
        }

        // Each block that was accepted can still be committed, in what a device would do next.
        private static async Task CommitAllAsync(UploadsFixture after, Known upload)
        {
            if (upload.Blocks.Count == 0)
                return;

            var ids = upload.Blocks.Keys.Order().ToArray();
            await after.CommitAsync(upload.Record, ids);
            Assert.Equal(string.Concat(ids.Select(id => upload.Blocks[id])), await after.ReadAsync($"d1/{upload.Record.BlobName}"));
        }
    }
}
