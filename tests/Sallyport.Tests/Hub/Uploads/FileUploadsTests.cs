using Sallyport.Hub.Uploads;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Storage.Metadata;

namespace Sallyport.Tests.Hub.Uploads;

public sealed class FileUploadsTests : IAsyncLifetime
{
    private UploadsFixture _hub = null!;

    public async ValueTask InitializeAsync() => _hub = await UploadsFixture.OpenAsync();

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    [Fact]
    public async Task Upload_BegunWrittenAndReported_IsAFile_AndServicesAreTold()
    {
        var (upload, place) = await _hub.Uploads.BeginAsync(UploadsFixture.D1, "g1", "dir/a b.txt", UploadsFixture.Host, CancellationToken.None);
        Assert.Equal(("hub.test:8443", "uploads", "d1/dir/a b.txt"), (place.HostName, place.ContainerName, place.BlobName));
        Assert.StartsWith("?sv=", place.SasToken, StringComparison.Ordinal);
        Assert.DoesNotContain("sig", place.ToString(), StringComparison.Ordinal);
        await _hub.PutBlockAsync(upload, "1", "hello ");
        await _hub.PutBlockAsync(upload, "2", "world");
        await _hub.CommitAsync(upload, "1", "2");
        Assert.Null(_hub.Notifications.Receive(null));
        await _hub.EndAsync(upload);

        Assert.Equal("hello world", await _hub.ReadAsync("d1/dir/a b.txt"));
        var told = _hub.Notifications.Receive(null)!;
        Assert.Equal(
            """{"deviceId":"d1","blobUri":"https://hub.test:8443/uploads/d1/dir/a%20b.txt","blobName":"d1/dir/a b.txt","lastUpdatedTime":"2026-01-02T12:00:00+00:00","blobSizeInBytes":11,"enqueuedTimeUtc":"2026-01-02T12:00:00Z"}""",
            System.Text.Encoding.UTF8.GetString(told.Body));
        Assert.True(await _hub.Notifications.CompleteAsync(told.Token));
        await _hub.EndAsync(upload); // As after an answer that was lost.
        Assert.Null(_hub.Notifications.Receive(null));
    }

    [Fact]
    public async Task Upload_BeyondTen_IsRefused_UntilOneIsReportedOrItsTimeIsOver()
    {
        var uploads = new List<UploadRecord>();
        for (var i = 0; i < 10; i++)
            uploads.Add(await _hub.BeginAsync($"{i}"));
        await UploadsFixture.RefusedAsync(HubErrors.DeviceMaximumActiveFileUploads, () => _hub.BeginAsync("more"));
        await _hub.BeginAsync("of another device", UploadsFixture.D2);
        await _hub.RestartAsync();
        await UploadsFixture.RefusedAsync(HubErrors.DeviceMaximumActiveFileUploads, () => _hub.BeginAsync("more"));
        Assert.Equal(10, _hub.Uploads.ListOpen("d1").Count);

        await _hub.EndAsync(uploads[0], isSuccess: false);
        await _hub.BeginAsync("more");
        await UploadsFixture.RefusedAsync(HubErrors.DeviceMaximumActiveFileUploads, () => _hub.BeginAsync("still more"));
        _hub.Time.Advance(TimeSpan.FromHours(1));
        await _hub.BeginAsync("later");
    }

    [Fact]
    public async Task Report_OfSuccessWithoutAFile_IsRefused_AndOfFailureEndsIt()
    {
        await _hub.PutAsync(await _hub.BeginAsync("a"), "old");
        var upload = await _hub.BeginAsync("a");
        await UploadsFixture.RefusedAsync(HubErrors.ArgumentInvalid, () => _hub.EndAsync(upload)); // The file there is not of this upload.
        await _hub.EndAsync(upload, isSuccess: false);
        Assert.Null(_hub.Notifications.Receive(null));
        Assert.Equal("old", await _hub.ReadAsync("d1/a"));
    }

    [Fact]
    public async Task Uploads_BegunAndReportedWithoutEnd_LeaveAHundredRows()
    {
        for (var i = 0; i < UploadOptions.MaxClosed + 20; i++)
            await _hub.EndAsync(await _hub.BeginAsync($"{i}"), isSuccess: false);
        var last = await _hub.BeginAsync("last");
        Assert.Equal(UploadOptions.MaxClosed + 1, _hub.Metadata.Read(tx => _hub.Metadata.Uploads.ListOver(tx, DateTimeOffset.MaxValue, 1000)).Count);
        Assert.Equal(last, Assert.Single(_hub.Uploads.ListOpen("d1")));
    }

    [Fact]
    public async Task Report_ByAnotherDevice_OrOfNothing_IsNotFound()
    {
        var upload = await _hub.BeginAsync("a");
        await UploadsFixture.RefusedAsync(HubErrors.NotFound, () => _hub.Uploads.EndAsync(UploadsFixture.D2, "g1", upload.Id, true, UploadsFixture.Host, CancellationToken.None).AsTask());
        await UploadsFixture.RefusedAsync(HubErrors.NotFound, () => _hub.Uploads.EndAsync(UploadsFixture.D1, "g2", upload.Id, true, UploadsFixture.Host, CancellationToken.None).AsTask());
        await UploadsFixture.RefusedAsync(HubErrors.NotFound, () => _hub.Uploads.EndAsync(UploadsFixture.D1, "g1", "../../etc", true, UploadsFixture.Host, CancellationToken.None).AsTask());
        await UploadsFixture.RefusedAsync(HubErrors.ArgumentNull, () => _hub.Uploads.EndAsync(UploadsFixture.D1, "g1", null, true, UploadsFixture.Host, CancellationToken.None).AsTask());
    }

    [Fact]
    public async Task Upload_OfADeviceThatIsDisabledGoneOrInQuarantine_IsRefused()
    {
        await _hub.PutAsync(UploadsFixture.D1, enabled: false);
        await UploadsFixture.RefusedAsync(HubErrors.DeviceNotFound, () => _hub.BeginAsync("a"));
        await _hub.DeleteAsync(UploadsFixture.D1);
        await UploadsFixture.RefusedAsync(HubErrors.DeviceNotFound, () => _hub.BeginAsync("a"));
        _hub.Line.Hold(new QuarantineRecord("d2", _hub.Time.GetUtcNow(), "policy:iothubowner", ""));
        await UploadsFixture.RefusedAsync(HubErrors.UnauthorizedAccess, () => _hub.BeginAsync("a", UploadsFixture.D2));
    }

    [Fact]
    public async Task Notifications_SwitchedOff_AreNotMade()
    {
        await using var hub = await UploadsFixture.OpenAsync(new UploadOptions { Notify = false });
        var upload = await hub.BeginAsync("a");
        await hub.PutAsync(upload, "x");
        await hub.EndAsync(upload);
        Assert.Null(hub.Notifications.Receive(null));
    }

    [Fact]
    public async Task Notification_IsOneReceivers_UntilItsLockEndsOrItGoes_AndComesAgainSoOften()
    {
        await using var hub = await UploadsFixture.OpenAsync(new UploadOptions { NotificationMaxDeliveryCount = 2 });
        await DoneAsync(hub, "a");
        await DoneAsync(hub, "b");
        var offered = 0;
        hub.Notifications.Available += () => offered++;

        var first = hub.Notifications.Receive(this)!;
        Assert.Equal(("d1/a", "d1/b"), (first.Record.BlobName, hub.Notifications.Receive(this)!.Record.BlobName));
        Assert.Null(hub.Notifications.Receive(null));
        hub.Notifications.Release(this);
        Assert.False(await hub.Notifications.CompleteAsync(first.Token));
        Assert.Equal(1, offered);

        Assert.True(await hub.Notifications.AbandonAsync(hub.Notifications.Receive(null)!.Token));
        var again = hub.Notifications.Receive(null)!;
        Assert.Equal(("d1/a", 1), (again.Record.BlobName, again.Record.DeliveryCount));
        await hub.LookAfterAsync(TimeSpan.FromSeconds(60));
        Assert.False(await hub.Notifications.CompleteAsync(again.Token));
        Assert.True(await hub.Notifications.AbandonAsync(hub.Notifications.Receive(null)!.Token)); // Once too often.
        var other = hub.Notifications.Receive(null)!;
        Assert.Equal("d1/b", other.Record.BlobName);
        Assert.True(await hub.Notifications.CompleteAsync(other.Token));
        Assert.Null(hub.Notifications.Receive(null));
    }

    [Fact]
    public async Task Notifications_BeyondTheirBoundOrTime_Go_TheOldestFirst()
    {
        await using var hub = await UploadsFixture.OpenAsync(new UploadOptions { MaxNotifications = 2 });
        foreach (var name in (string[])["a", "b", "c"])
            await DoneAsync(hub, name);
        Assert.Equal("d1/b", hub.Notifications.Receive(null)!.Record.BlobName);
        await hub.LookAfterAsync(TimeSpan.FromHours(1));
        Assert.Null(hub.Notifications.Receive(null));
    }

    [Theory]
    [InlineData("a")]
    [InlineData("dir//a b+c%20d%25?e#f&g=h'i;j,k!*()[]{}|^~`<>@$:\\x.txt")]
    [InlineData("ü/€ 😀.txt")]
    [InlineData(".../..a/.b/c..")]
    [InlineData("/")]
    public void Name_ThatSurvivesAUrl_IsTaken_AndKnownInEachSpelling(string name)
    {
        const string Device = "d-.+%41_#*?!(),=@$':;";
        BlobName.Check(Device, name);
        var full = BlobName.Full(Device, name);
        Assert.Equal(full, Uri.UnescapeDataString(BlobName.Escape(full)));
        Assert.All(
            (string[])[full, BlobName.Escape(full), Uri.EscapeDataString(full), BlobName.ForAnyUrl(full), Uri.EscapeDataString(BlobName.ForAnyUrl(full))],
            path => Assert.True(BlobName.IsSpelled(path, full)));
        Assert.False(BlobName.IsSpelled(full + "x", full));
        Assert.False(BlobName.IsSpelled(full.ToUpperInvariant(), full));
    }

    [Theory]
    [InlineData("d1", "..")]
    [InlineData("d1", "../d2/x")]
    [InlineData("d1", "a/./b")]
    [InlineData("d1", "a/%2e%2E/b")]
    [InlineData("d1", "a\\..\\b")]
    [InlineData("..", "a")]
    [InlineData("d1", "a\0b")]
    [InlineData("d1", "a\nb")]
    public async Task Name_ThatDoesNot_IsRefused(string device, string name)
    {
        var refused = await Assert.ThrowsAsync<HubException>(() => _hub.Uploads.BeginAsync(Identity.Of(device), "g1", name, UploadsFixture.Host, CancellationToken.None).AsTask());
        Assert.Same(HubErrors.ArgumentInvalid, refused.Error);
        Assert.StartsWith("blobName: ", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Name_TooLongMissingOrNoText_IsRefused()
    {
        await _hub.BeginAsync(new string('a', 1021));
        await UploadsFixture.RefusedAsync(HubErrors.ArgumentInvalid, () => _hub.BeginAsync(new string('a', 1022)));
        await UploadsFixture.RefusedAsync(HubErrors.ArgumentInvalid, () => _hub.BeginAsync(new string('€', 400)));
        await UploadsFixture.RefusedAsync(HubErrors.ArgumentNull, () => _hub.BeginAsync(""));
        foreach (var half in (char[])['\uD83D', '\uDE00'])
            await UploadsFixture.RefusedAsync(HubErrors.ArgumentInvalid, () => _hub.BeginAsync($"a{half}b"));
    }

    private static async Task DoneAsync(UploadsFixture hub, string name)
    {
        var upload = await hub.BeginAsync(name);
        await hub.PutAsync(upload, "x");
        await hub.EndAsync(upload);
    }
}
