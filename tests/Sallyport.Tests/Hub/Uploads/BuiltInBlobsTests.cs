using System.Text;
using Sallyport.Hub.Uploads;
using Sallyport.Storage.Metadata;

namespace Sallyport.Tests.Hub.Uploads;

public sealed class BuiltInBlobsTests : IAsyncLifetime
{
    private UploadsFixture _hub = null!;

    public async ValueTask InitializeAsync() => _hub = await UploadsFixture.OpenAsync();

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    [Fact]
    public async Task List_NamesBlocks_LatestUncommittedOrCommitted()
    {
        var upload = await _hub.BeginAsync("a");
        await _hub.PutBlockAsync(upload, "1", "one ");
        await _hub.PutBlockAsync(upload, "1", "ONE "); // Put again: the later one.
        await _hub.PutBlockAsync(upload, "2", "two ");
        await _hub.CommitAsync(upload, "1", "2", "1");
        Assert.Equal("ONE two ONE ", await _hub.ReadAsync("d1/a"));
        await _hub.CommitAsync(upload, "1", "2", "1"); // As after an answer that was lost.
        Assert.Equal("ONE two ONE ", await _hub.ReadAsync("d1/a"));

        await _hub.PutBlockAsync(upload, "1", "uno ");
        Assert.Equal("ONE two ONE ", await _hub.ReadAsync("d1/a"));
        var open = _hub.Admit(upload);
        ListedBlock[] list = [new(BlockSource.Committed, UploadsFixture.Hex("1")), new(BlockSource.Uncommitted, UploadsFixture.Hex("1")), new(BlockSource.Latest, UploadsFixture.Hex("2"))];
        await _hub.Blobs.CommitAsync(open, list, new BlobHeaders("text/plain"), CancellationToken.None);
        Assert.Equal("ONE uno two ", await _hub.ReadAsync("d1/a"));
        await UploadsFixture.RefusedAsync(BlobErrors.InvalidBlockList, () => _hub.CommitAsync(upload, "3"));
        await UploadsFixture.RefusedAsync(BlobErrors.InvalidBlockList, () => _hub.Blobs.CommitAsync(open, [new(BlockSource.Uncommitted, UploadsFixture.Hex("2"))], new BlobHeaders(""), CancellationToken.None));
        await _hub.CommitAsync(upload);
        Assert.Equal("", await _hub.ReadAsync("d1/a"));
    }

    [Fact]
    public async Task File_Replaced_HasAnotherETag_AndNothingOfTheOldOneIsLeft()
    {
        var (one, two) = (await _hub.BeginAsync("a"), await _hub.BeginAsync("a"));
        var first = await _hub.PutAsync(one, "first");
        await _hub.EndAsync(one);
        await _hub.PutBlockAsync(two, "1", "second");
        Assert.Equal("first", await _hub.ReadAsync("d1/a"));
        var second = await _hub.CommitAsync(two, "1");
        await _hub.EndAsync(two);
        Assert.Equal("second", await _hub.ReadAsync("d1/a"));
        Assert.NotEqual(BuiltInBlobs.ETagOf(first), BuiltInBlobs.ETagOf(second));
        await _hub.LookAfterAsync();
        Assert.All(_hub.OnDisk, file => Assert.StartsWith(two.Id, file, StringComparison.Ordinal));
        Assert.Equal(2, _hub.OnDisk.Length);
        Assert.Equal((1L, 6L), _hub.Metadata.Read(tx => _hub.Metadata.Uploads.Use(tx, null)));

        Assert.True(await _hub.Blobs.DeleteAsync("d1", "a", CancellationToken.None));
        Assert.False(await _hub.Blobs.DeleteAsync("d1", "a", CancellationToken.None));
        Assert.Empty(_hub.OnDisk);
        Assert.Equal((0L, 0L), _hub.Metadata.Read(tx => _hub.Metadata.Uploads.Use(tx, "d1")));
    }

    [Fact]
    public async Task Conditions_AreLookedAt_AtTheCommit()
    {
        var upload = await _hub.BeginAsync("a");
        var blob = await _hub.PutAsync(upload, "x", new BlobHeaders("", MustBeNew: true));
        await UploadsFixture.RefusedAsync(BlobErrors.AlreadyExists, () => _hub.PutAsync(upload, "y", new BlobHeaders("", MustBeNew: true)));
        await UploadsFixture.RefusedAsync(BlobErrors.ConditionNotMet, () => _hub.PutAsync(upload, "y", new BlobHeaders("", MustBe: "0x0")));
        await _hub.PutAsync(upload, "z", new BlobHeaders("", MustBe: BuiltInBlobs.ETagOf(blob)));
        Assert.Equal("z", await _hub.ReadAsync("d1/a"));
    }

    [Fact]
    public async Task Range_IsReadAcrossBlocks()
    {
        var upload = await _hub.BeginAsync("a");
        foreach (var id in (string[])["1", "2", "3"])
            await _hub.PutBlockAsync(upload, id, $"{id}abc");
        var blob = await _hub.CommitAsync(upload, "1", "2", "3");
        for (var from = 0; from < 12; from++)
        {
            for (var count = 1; count <= 12 - from; count++)
            {
                using var target = new MemoryStream();
                await _hub.Blobs.CopyToAsync(blob, from, count, target, CancellationToken.None);
                Assert.Equal("1abc2abc3abc".Substring(from, count), Encoding.ASCII.GetString(target.ToArray()));
            }
        }
    }

    [Fact]
    public async Task Body_OfADeviceThatMayNotSendAnyMore_Stops_AndLeavesNothing()
    {
        var upload = await _hub.BeginAsync("a");
        var open = _hub.Admit(upload);
        foreach (Func<Task> withdraw in (Func<Task>[])[() => _hub.PutAsync(UploadsFixture.D1, enabled: false), () => _hub.PutAsync(UploadsFixture.D1, "g2"), () => _hub.DeleteAsync(UploadsFixture.D1)])
        {
            await _hub.PutAsync(UploadsFixture.D1);
            using var body = new SteppedBody();
            var putting = _hub.Blobs.PutBlockAsync(open, "31", new BlobBody(body, 3, null, null), CancellationToken.None);
            await body.SendAsync("a");
            await withdraw();
            await body.SendAsync("b");
            await UploadsFixture.RefusedAsync(BlobErrors.AuthenticationFailed, () => putting);
            Assert.Empty(_hub.OnDisk);
            await UploadsFixture.RefusedAsync(BlobErrors.AuthenticationFailed, () => Task.FromResult(_hub.Admit(upload)));
        }

        Assert.Equal(0, _hub.Blobs.Room.Bytes);
    }

    [Fact]
    public async Task Upload_ReportedOverOrInQuarantine_TakesNothingMore_AlsoNotTheListOfWhatItTook()
    {
        var (done, over, held) = (await _hub.BeginAsync("done"), await _hub.BeginAsync("over"), await _hub.BeginAsync("held", UploadsFixture.D2));
        var opens = new List<OpenUpload>();
        foreach (var upload in (UploadRecord[])[done, over, held])
        {
            opens.Add(_hub.Admit(upload));
            await _hub.PutBlockAsync(upload, "1", "x");
        }

        await _hub.EndAsync(done, isSuccess: false);
        _hub.Line.Hold(new QuarantineRecord("d2", _hub.Time.GetUtcNow(), "", ""));
        _hub.Time.Advance(TimeSpan.FromHours(1));
        foreach (var open in opens)
        {
            await UploadsFixture.RefusedAsync(BlobErrors.AuthenticationFailed, () => Task.FromResult(_hub.Admit(open.Record)));
            await UploadsFixture.RefusedAsync(BlobErrors.AuthenticationFailed, () => _hub.Blobs.CommitAsync(open, [new(BlockSource.Latest, "31")], new BlobHeaders(""), CancellationToken.None));
        }

        await _hub.LookAfterAsync();
        Assert.Empty(_hub.OnDisk);
        Assert.Equal(0, _hub.Blobs.Room.Bytes);
        Assert.Empty(_hub.Blobs.Room.List());
        Assert.Null(_hub.Metadata.Read(tx => _hub.Metadata.Uploads.Find(tx, over.Id)));
    }

    [Fact]
    public async Task Body_ThatIsNotWhatWasAnnounced_IsRefused_AndLeavesNothing()
    {
        var open = _hub.Admit(await _hub.BeginAsync("a"));
        foreach (var (body, error) in ((BlobBody, BlobError)[])[
            (UploadsFixture.Body("abc") with { Length = 4 }, BlobErrors.InvalidHeader), (UploadsFixture.Body("abc") with { Length = 2 }, BlobErrors.InvalidHeader),
            (UploadsFixture.Body("abc") with { Md5 = new byte[16] }, BlobErrors.Md5Mismatch), (UploadsFixture.Body("abc") with { Crc64 = new byte[8] }, BlobErrors.Crc64Mismatch)])
            await UploadsFixture.RefusedAsync(error, () => _hub.Blobs.PutBlockAsync(open, "31", body, CancellationToken.None));

        using var cut = new SteppedBody();
        using var gone = new CancellationTokenSource();
        var putting = _hub.Blobs.PutBlockAsync(open, "31", new BlobBody(cut, 3, null, null), gone.Token);
        await cut.SendAsync("a");
        await gone.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => putting);
        Assert.Empty(_hub.OnDisk);
        Assert.Equal((0, 0), (_hub.Blobs.Room.Bytes, _hub.Turns.Devices));

        var crc = BitConverter.GetBytes(0xAE8B14860A799888); // Of the digits 1 to 9, from the catalogue of CRCs.
        await _hub.Blobs.PutBlockAsync(open, "31", UploadsFixture.Body("123456789") with { Crc64 = crc, Md5 = Convert.FromHexString("25F9E794323B453885F5181F1B624D0B") }, CancellationToken.None);
    }

    [Fact]
    public async Task Bytes_BeyondEachBound_AreRefusedBeforeTheyAreRead()
    {
        await using var hub = await UploadsFixture.OpenAsync(new UploadOptions { MaxFileBytes = 10_000, MaxDeviceBytes = 45_000, MaxBytes = 65_000 });
        var upload = await hub.BeginAsync("a");
        var open = hub.Admit(upload);
        await UploadsFixture.RefusedAsync(BlobErrors.BodyTooLarge, () => hub.Blobs.PutBlockAsync(open, "31", new BlobBody(Stream.Null, 10_001, null, null), CancellationToken.None));
        await hub.PutBlockAsync(upload, "1", new string('a', 10_000));
        await hub.PutBlockAsync(upload, "2", new string('a', 10_000));
        await UploadsFixture.RefusedAsync(BlobErrors.BodyTooLarge, () => hub.PutBlockAsync(upload, "3", "a")); // Twice a file is what one may put.
        await UploadsFixture.RefusedAsync(BlobErrors.BodyTooLarge, () => hub.CommitAsync(upload, "1", "2"));
        await hub.CommitAsync(upload, "1");
        Assert.Equal(0, hub.Blobs.Room.Bytes);

        // 10,000 are a file of d1 with its overhead; 20,000 more are under way; what does not fit in 45,000 is d1's bound.
        var next = await hub.BeginAsync("b");
        await hub.PutBlockAsync(next, "1", new string('a', 10_000));
        await hub.PutBlockAsync(next, "2", new string('a', 10_000));
        var third = await hub.BeginAsync("c");
        await UploadsFixture.RefusedAsync(BlobErrors.OutOfRoom, () => hub.PutBlockAsync(third, "1", new string('a', 10_000)));

        // 65,000 are everybody's.
        var other = await hub.BeginAsync("a", UploadsFixture.D2);
        await hub.PutBlockAsync(other, "1", new string('a', 10_000));
        await hub.PutBlockAsync(other, "2", new string('a', 10_000));
        var last = await hub.BeginAsync("b", UploadsFixture.D2);
        await UploadsFixture.RefusedAsync(BlobErrors.OutOfRoom, () => hub.PutAsync(last, new string('a', 10_000)));
        await hub.RestartAsync();
        await UploadsFixture.RefusedAsync(BlobErrors.OutOfRoom, () => hub.PutBlockAsync(third, "1", new string('a', 10_000)));
        Assert.Equal(40_000, hub.Blobs.Room.Bytes);
        await hub.EndAsync(next, isSuccess: false);
        await hub.LookAfterAsync();
        await hub.PutBlockAsync(third, "1", new string('a', 10_000));
    }

    [Fact]
    public async Task Disk_WithoutTheReserve_TakesNothing()
    {
        await using var hub = await UploadsFixture.OpenAsync(new UploadOptions { ReserveBytes = long.MaxValue / 2 });
        var upload = await hub.BeginAsync("a");
        await UploadsFixture.RefusedAsync(BlobErrors.OutOfRoom, () => hub.PutBlockAsync(upload, "1", "a"));
        Assert.Empty(hub.OnDisk);
    }

    [Fact]
    public async Task Bodies_BeyondTheTurns_Wait_ThenAreRefused_AndOtherDevicesHaveTheirOwn()
    {
        await using var hub = await UploadsFixture.OpenAsync(new UploadOptions { MaxDeviceBodies = 1, MaxBodies = 2 });
        var (one, two) = (hub.Admit(await hub.BeginAsync("a")), hub.Admit(await hub.BeginAsync("a", UploadsFixture.D2)));
        using var slow = new SteppedBody();
        var first = hub.Blobs.PutBlockAsync(one, "31", new BlobBody(slow, 1, null, null), CancellationToken.None);
        hub.Time.ForgetWaits();
        var second = hub.Blobs.PutBlockAsync(one, "32", UploadsFixture.Body("b"), CancellationToken.None);
        await hub.Blobs.PutBlockAsync(two, "31", UploadsFixture.Body("c"), CancellationToken.None);
        await hub.Time.WaitBeganAsync(TimeSpan.FromSeconds(30), TimeSpan.FromSeconds(30));
        hub.Time.Advance(TimeSpan.FromSeconds(30));
        await UploadsFixture.RefusedAsync(BlobErrors.ServerBusy, () => second);

        var third = hub.Blobs.PutBlockAsync(one, "33", UploadsFixture.Body("d"), CancellationToken.None);
        await slow.SendAsync("a");
        slow.Complete();
        await Task.WhenAll(first, third);
        await hub.CommitAsync(one.Record, "1", "3");
        Assert.Equal("ad", await hub.ReadAsync("d1/a"));
        Assert.Equal(0, hub.Turns.Devices);
    }

    [Fact]
    public async Task Crowd_OfOneDevice_BehindItsTurns_IsRefusedAtOnce()
    {
        await using var hub = await UploadsFixture.OpenAsync(new UploadOptions { MaxDeviceBodies = 1, MaxBodies = 2 });
        using var gone = new CancellationTokenSource();
        var waiting = Enumerable.Range(0, 5).Select(_ => hub.Turns.EnterAsync("d1", gone.Token).AsTask()).ToList();
        await UploadsFixture.RefusedAsync(BlobErrors.ServerBusy, () => hub.Turns.EnterAsync("d1", CancellationToken.None).AsTask());
        (await hub.Turns.EnterAsync("d2", CancellationToken.None)).Dispose();
        await gone.CancelAsync();
        foreach (var one in waiting.Where(one => !one.IsCompletedSuccessfully))
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => one);
        (await waiting[0]).Dispose();
        Assert.Equal(0, hub.Turns.Devices);
    }

    [Fact]
    public async Task Sweep_RemovesWhatADeadHubLeft_AndNothingElse()
    {
        var (open, done) = (await _hub.BeginAsync("open"), await _hub.BeginAsync("done"));
        await _hub.PutBlockAsync(open, "1", "x");
        await _hub.PutAsync(done, "y");
        await _hub.EndAsync(done);
        var kept = _hub.OnDisk;
        foreach (var left in (string[])[$"{done.Id}/t-0000000f", $"{done.Id}/b-0000000f-31", "00000000000000000000000000000000/b-00000001-31"])
        {
            var path = Path.Combine(_hub.Files.Path, left);
            Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            await File.WriteAllTextAsync(path, "left");
        }

        await File.WriteAllTextAsync(Path.Combine(_hub.Files.Path, "README"), "not ours");
        await _hub.RestartAsync();
        _hub.Blobs.Sweep();
        Assert.Equal(kept.Append("README").Order(StringComparer.Ordinal), _hub.OnDisk);
        Assert.Equal("y", await _hub.ReadAsync("d1/done"));
        await _hub.CommitAsync(open, "1");
        Assert.Equal("x", await _hub.ReadAsync("d1/open"));
    }

    [Fact]
    public async Task Files_ArePrivate_AndNoNameOfADeviceIsOneOfTheirs()
    {
        var upload = await _hub.BeginAsync("secret-name/x");
        await _hub.PutBlockAsync(upload, "../../../../block", "x");
        await _hub.CommitAsync(upload, "../../../../block");
        Assert.All(_hub.OnDisk, file => Assert.Matches("^[0-9a-f]{32}/[a-z]-[0-9a-f]{8}(-[0-9a-f]+)?$", file));
        foreach (var file in _hub.OnDisk)
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(Path.Combine(_hub.Files.Path, file)));
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute, File.GetUnixFileMode(Path.Combine(_hub.Files.Path, upload.Id)));
    }

    /// <summary>A body that comes when the test says so.</summary>
    private sealed class SteppedBody : Stream
    {
        private readonly System.Threading.Channels.Channel<byte[]> _pieces = System.Threading.Channels.Channel.CreateBounded<byte[]>(1);

        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => false;

        public override long Length => throw new NotSupportedException();

        public override long Position
        {
            get => throw new NotSupportedException();
            set => throw new NotSupportedException();
        }

        public ValueTask SendAsync(string piece) => _pieces.Writer.WriteAsync(Encoding.ASCII.GetBytes(piece), TestContext.Current.CancellationToken);

        public void Complete() => _pieces.Writer.TryComplete();

        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            if (!await _pieces.Reader.WaitToReadAsync(cancellationToken) || !_pieces.Reader.TryRead(out var piece))
                return 0;
            piece.CopyTo(buffer);
            return piece.Length;
        }

        public override void Flush()
        {
        }

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    }
}
