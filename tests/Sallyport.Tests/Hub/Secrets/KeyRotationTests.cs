using Sallyport.Hub.Audit;
using Sallyport.Hub.Secrets;
using Sallyport.Protocol.Errors;
using Sallyport.Storage;
using Sallyport.Storage.Secrets;
using Sallyport.Tests.Storage;

namespace Sallyport.Tests.Hub.Secrets;

/// <summary>A new key takes the place of the old one, whenever it is killed; nothing is lost, and nothing needs the old key in the end.</summary>
public sealed class KeyRotationTests : IDisposable
{
    // More than one transaction rewrites.
    private const int Devices = 1100;

    private readonly TemporaryDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task Rotate_KilledBehindAnyStep_GoesOnAndLosesNothing()
    {
        List<string> killedBehind = [];
        for (var kill = 1; ; kill++)
        {
            var place = Directory.CreateDirectory(_directory[$"{kill}"]).FullName;
            var first = await MakeAsync(place);
            var step = 0;
            await using (var killed = await HubKeys.OpenAsync(place, afterStep: name =>
            {
                if (++step != kill)
                    return;

                killedBehind.Add(name);
                throw new KilledException();
            }))
            {
                try
                {
                    await killed.Rotation.StartAsync(HubKeys.Somebody, default);
                }
                catch (KilledException)
                {
                    // Before it went on by itself.
                }

                await killed.Rotation.Run;
            }

            await using (var again = await HubKeys.OpenAsync(place))
            {
                again.ExpectEverything(first);
                if (again.Keys.OldIds.Count > 0 || again.Keys.Ring.Current.Id == first.Id)
                {
                    await again.Rotation.StartAsync(HubKeys.Somebody, default);
                    await again.Rotation.Run;
                    Assert.Equal((RotationState.Finished, null), (again.Rotation.Progress.State, again.Rotation.Progress.Message));
                }

                again.ExpectEverything(first);
            }

            await using var last = await HubKeys.OpenAsync(place);
            last.ExpectEverything(first);
            var newest = Assert.Single(last.Keys.Ring.Keys);
            Assert.NotEqual(first.Id, newest.Id);
            Assert.Equal([new KeyUse(newest.Id, true, 2 * Devices + 3)], last.Rotation.Uses());
            Assert.DoesNotContain(first.ToBase64(), File.ReadAllText(Path.Combine(place, "key")), StringComparison.Ordinal);
            if (step < kill)
                break;
        }

        Assert.Equal(
            ["recorded", "key added", "key id recorded", "key in use", "page resealed", "page resealed", "page resealed", "page resealed", "page resealed", "everything resealed", "retirement recorded", "retired keys kept", "old key dropped"],
            killedBehind);
    }

    [Fact]
    public async Task Rotate_ThreeTimes_KeepsTheLogsKeyAndEveryFileOfTheTrailVerifiable()
    {
        var first = await MakeAsync(_directory.Path);
        for (var i = 0; i < 3; i++)
        {
            await using var hub = await HubKeys.OpenAsync(_directory.Path);
            await hub.RotateAsync();
            Assert.Equal(i + 1, hub.Keys.RetiredIds.Count);
            hub.ExpectEverything(first);
        }

        await using var last = await HubKeys.OpenAsync(_directory.Path);
        last.ExpectEverything(first);
        Assert.Equal(last.Keys.Ring.Current.Id, AuditLine.HeaderOf(AuditFiles.List(last.Data.AuditPath)[^1].Path).KeyId);
    }

    [Fact]
    public async Task Rotate_WhileOthersAct_FindsSharedCredentialsAndSealsWhatIsNew()
    {
        await MakeAsync(_directory.Path);
        HubKeys hub = null!;
        var page = 0;
        await using (hub = await HubKeys.OpenAsync(_directory.Path, afterStep: name =>
        {
            if (name != "page resealed" || ++page != 1)
                return;

            // Half of the rows are marked with the old key still, and this one with the new.
            hub.PutAsync(HubKeys.Device("a-new", "k0001")).AsTask().GetAwaiter().GetResult();
            Assert.Equal(["a-new", "d0001"], hub.Holders("k0001"));
            hub.ExpectDevices();
        }))
        {
            await hub.RotateAsync();

            Assert.Equal(["a-new", "d0001"], hub.Holders("k0001"));
            Assert.Equal([new KeyUse(hub.Keys.Ring.Current.Id, true, 2 * Devices + 5)], hub.Rotation.Uses());
        }
    }

    [Fact]
    public async Task Rotate_WithASecretThatDoesNotOpen_KeepsTheOldKeyUntilItIsGone()
    {
        var first = await MakeAsync(_directory.Path);
        await using var hub = await HubKeys.OpenAsync(_directory.Path);
        hub.Spoil("d0007");
        await hub.Rotation.StartAsync(HubKeys.Somebody, default);
        await hub.Rotation.Run;

        Assert.Equal(RotationState.Failed, hub.Rotation.Progress.State);
        Assert.Contains("1 secret names an old key", hub.Rotation.Progress.Message, StringComparison.Ordinal);
        Assert.Contains("'d0007'", hub.Rotation.Progress.Message, StringComparison.Ordinal);
        Assert.Equal([first.Id], hub.Keys.OldIds);

        await hub.PutAsync(HubKeys.Device("d0007", "k0007"));
        await hub.RotateAsync();
        Assert.Empty(hub.Keys.OldIds);
    }

    [Fact]
    public async Task Start_WhileOneRuns_IsAConflict()
    {
        await MakeAsync(_directory.Path);
        using var reached = new ManualResetEventSlim();
        using var goOn = new ManualResetEventSlim();
        await using var hub = await HubKeys.OpenAsync(_directory.Path, afterStep: name =>
        {
            if (name != "key in use")
                return;

            reached.Set();
            goOn.Wait(TestContext.Current.CancellationToken);
        });
        await hub.Rotation.StartAsync(HubKeys.Somebody, default);
        reached.Wait(TestContext.Current.CancellationToken);

        var refused = await Assert.ThrowsAsync<HubException>(async () => await hub.Rotation.StartAsync(HubKeys.Somebody, default));
        Assert.Equal(RotationState.Running, hub.Rotation.Progress.State);
        goOn.Set();
        await hub.Rotation.Run;

        Assert.Equal(HubErrors.Conflict, refused.Error);
        Assert.Equal(RotationState.Finished, hub.Rotation.Progress.State);
    }

    [Fact]
    public async Task Start_WithoutADurableRecord_ChangesNothing()
    {
        var first = await MakeAsync(_directory.Path);
        await using var hub = await HubKeys.OpenAsync(_directory.Path, audit: new Audit.AuditList { IsBroken = true });

        var refused = await Assert.ThrowsAsync<HubException>(async () => await hub.Rotation.StartAsync(HubKeys.Somebody, default));

        Assert.Equal(HubErrors.ServiceUnavailable, refused.Error);
        Assert.Equal(first.Id, Assert.Single(hub.Keys.Ring.Keys).Id);
    }

    [Fact]
    public async Task Start_WhenTheKeyFileCannotBeWritten_SaysSoAndChangesNothing()
    {
        var first = await MakeAsync(_directory.Path);
        var trail = new Audit.AuditList();
        await using var hub = await HubKeys.OpenAsync(_directory.Path, audit: trail);
        Directory.CreateDirectory(_directory["key.next"]); // Where the new file would be written.

        var refused = await Assert.ThrowsAsync<HubException>(async () => await hub.Rotation.StartAsync(HubKeys.Somebody, default));

        Assert.Contains("cannot be written by the hub", refused.Message, StringComparison.Ordinal);
        Assert.Equal(["done", "refused"], trail.Entries.Select(entry => entry.Result));
        Assert.Equal(first.Id, Assert.Single(hub.Keys.Ring.Keys).Id);
        Assert.Equal($"sallyport-key:1:{first.ToBase64()}\n", File.ReadAllText(_directory["key"]));
    }

    [Fact]
    public async Task Start_WhenSomebodyChangedTheKeyFile_RefusesToOverwriteIt()
    {
        var first = await MakeAsync(_directory.Path);
        await using var hub = await HubKeys.OpenAsync(_directory.Path);
        HubKeys.WriteKeys(_directory["key"], MasterKey.Random(), first);
        var changed = File.ReadAllText(_directory["key"]);

        var refused = await Assert.ThrowsAsync<HubException>(async () => await hub.Rotation.StartAsync(HubKeys.Somebody, default));

        Assert.Contains("was changed since the hub started", refused.Message, StringComparison.Ordinal);
        Assert.Equal(changed, File.ReadAllText(_directory["key"]));
    }

    [Fact]
    public async Task Start_WithTheKeyBehindALink_WritesWhatItPointsAt()
    {
        await MakeAsync(_directory.Path);
        File.Move(_directory["key"], _directory["kept"]);
        File.CreateSymbolicLink(_directory["key"], _directory["kept"]);

        await using (var hub = await HubKeys.OpenAsync(_directory.Path))
            await hub.RotateAsync();

        Assert.Equal(_directory["kept"], new FileInfo(_directory["key"]).LinkTarget);
        Assert.Single(File.ReadAllLines(_directory["kept"]));
    }

    [Fact]
    public async Task Rotate_WithASystemdCredential_IsDoneByHandAtBothEnds()
    {
        var first = await MakeAsync(_directory.Path);
        var newest = MasterKey.Random();
        var credential = _directory[KeyFile.CredentialName];
        HubKeys.WriteKeys(credential, first);
        await using (var hub = await HubKeys.OpenAsync(_directory.Path, fromCredential: true))
        {
            var refused = await Assert.ThrowsAsync<HubException>(async () => await hub.Rotation.StartAsync(HubKeys.Somebody, default));
            Assert.Contains("put a new line above", refused.Message, StringComparison.Ordinal);
        }

        HubKeys.WriteKeys(credential, newest, first);
        await using (var hub = await HubKeys.OpenAsync(_directory.Path, fromCredential: true))
        {
            Assert.Equal([first.Id], hub.Keys.OldIds);
            await hub.RotateAsync();
            Assert.Contains($"sealed with key {first.Id} any more: take its line out", hub.Rotation.Progress.Message, StringComparison.Ordinal);
        }

        HubKeys.WriteKeys(credential, newest);
        await using var last = await HubKeys.OpenAsync(_directory.Path, fromCredential: true);
        last.ExpectEverything(first);
        Assert.Empty(last.Keys.OldIds);
    }

    [Fact]
    public async Task Open_WithTheOldKeyAfterARotation_NamesBothKeys()
    {
        var first = await MakeAsync(_directory.Path);
        await using (var hub = await HubKeys.OpenAsync(_directory.Path))
            await hub.RotateAsync();
        HubKeys.WriteKeys(_directory["key"], first);

        var refused = await Assert.ThrowsAsync<UnusableDataException>(() => HubKeys.OpenAsync(_directory.Path));

        Assert.Contains($"holds key {first.Id}", refused.Message, StringComparison.Ordinal);
        Assert.Contains("give the file that holds that key with --key-file", refused.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("", "is damaged")]
    [InlineData("{}", "is damaged")]
    [InlineData("""{"format":"sallyport-retired-keys","version":2}""", "start the newer Sallyport")]
    [InlineData("""{"format":"sallyport-retired-keys","version":1,"logMac":"AAAA","auditMacs":{}}""", "cannot be opened with the keys")]
    public async Task Open_WithRetiredKeysThatAreNotWhatWasWritten_SaysWhatToDo(string content, string reason)
    {
        await MakeAsync(_directory.Path);
        await using (var hub = await HubKeys.OpenAsync(_directory.Path))
            await hub.RotateAsync();
        var path = _directory[$"data/{RetiredKeys.FileName}"];
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(path));
        File.WriteAllText(path, content);

        Assert.Contains(reason, (await Assert.ThrowsAsync<UnusableDataException>(() => HubKeys.OpenAsync(_directory.Path))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task TryRead_OfAnArchivedTrail_VerifiesItWithTheRetiredKeysBesideIt()
    {
        await MakeAsync(_directory.Path);
        await using (var hub = await HubKeys.OpenAsync(_directory.Path))
            await hub.RotateAsync();
        var archive = Directory.CreateDirectory(_directory["archive/audit"]).FullName;
        foreach (var file in Directory.EnumerateFiles(_directory["data/audit"]))
            File.Copy(file, Path.Combine(archive, Path.GetFileName(file)));

        Assert.Contains(Findings(), finding => finding.Fault == AuditFault.UnknownKey);
        File.Copy(_directory[$"data/{RetiredKeys.FileName}"], Path.Combine(archive, RetiredKeys.FileName));
        Assert.Empty(Findings());

        IReadOnlyList<AuditFinding> Findings()
        {
            var id = AuditVerifier.HubIdOf(archive)!;
            return AuditVerifier.Verify(archive, new AuditKeys(id, KeyFile.TryRead(id, archive, _directory["key"], _ => null)!), [], default).Findings;
        }
    }

    private static async Task<MasterKey> MakeAsync(string place)
    {
        var first = MasterKey.Random();
        HubKeys.WriteKeys(Path.Combine(place, "key"), first);
        await using var hub = await HubKeys.OpenAsync(place);
        await hub.FillAsync(Devices);
        return first;
    }

    private sealed class KilledException : Exception;
}
