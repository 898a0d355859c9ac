using Sallyport.Storage;
using Sallyport.Storage.Secrets;

namespace Sallyport.Tests.Storage.Secrets;

public sealed class KeyFileTests : IDisposable
{
    private const UnixFileMode Private = UnixFileMode.UserRead | UnixFileMode.UserWrite;

    private readonly TemporaryDirectory _directory = new();
    private readonly Dictionary<string, string> _environment;

    public KeyFileTests() => _environment = new() { ["HOME"] = _directory["home"] };

    public void Dispose() => _directory.Dispose();

    [Fact]
    public void Open_FirstStart_MakesAKeyOutsideTheDirectoryAndRecordsIt()
    {
        using var data = Data();

        var keys = Open(data);

        var path = _directory[$"home/.local/state/sallyport/keys/{data.Id}.key"];
        Assert.Equal(Private, File.GetUnixFileMode(path));
        Assert.Equal(Private | UnixFileMode.UserExecute, File.GetUnixFileMode(Path.GetDirectoryName(path)!));
        Assert.Matches("^sallyport-key:1:[A-Za-z0-9+/]{43}=\n$", File.ReadAllText(path));
        Assert.Equal(keys.Current.Id, data.KeyId);
        Assert.Equal(keys.Current.Id, Open(data).Current.Id);
    }

    [Fact]
    public void Open_XdgStateHome_IsPreferredUnlessRelative()
    {
        using var data = Data();
        _environment["XDG_STATE_HOME"] = "relative";
        Open(data);
        Assert.True(File.Exists(_directory[$"home/.local/state/sallyport/keys/{data.Id}.key"]));

        using var other = Data("other");
        _environment["XDG_STATE_HOME"] = _directory["state"];
        Open(other);
        Assert.True(File.Exists(_directory[$"state/sallyport/keys/{other.Id}.key"]));
    }

    [Fact]
    public void Open_NoHome_SaysWhatToDo()
    {
        using var data = Data();
        _environment.Clear();

        Assert.Contains("--key-file", Refused(data).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Open_NamedFile_ComesBeforeCredentialBeforeGenerated()
    {
        using var data = Data();
        var named = Write("named.key", MasterKey.Random());
        var credential = Write(KeyFile.CredentialName, MasterKey.Random());
        _environment["CREDENTIALS_DIRECTORY"] = _directory.Path;

        Assert.Equal(credential, Open(data).Current.Id);
        Assert.Equal(named, Open(Data("other"), _directory["named.key"]).Current.Id);
        Assert.False(Directory.Exists(_directory["home"]));
    }

    [Fact]
    public void Open_CredentialWithGroupBits_IsTaken()
    {
        using var data = Data();
        var id = Write(KeyFile.CredentialName, MasterKey.Random());
        File.SetUnixFileMode(_directory[KeyFile.CredentialName], UnixFileMode.UserRead | UnixFileMode.GroupRead);
        _environment["CREDENTIALS_DIRECTORY"] = _directory.Path;

        Assert.Equal(id, Open(data).Current.Id);
    }

    [Fact]
    public void Open_WrongKey_NamesBothKeysAndChangesNothing()
    {
        using var data = Data();
        var right = Write("right.key", MasterKey.Random());
        var wrong = Write("wrong.key", MasterKey.Random());
        Open(data, _directory["right.key"]);

        var refused = Refused(data, _directory["wrong.key"]);

        Assert.Contains($"holds key {wrong}", refused.Message, StringComparison.Ordinal);
        Assert.Contains($"was written with key {right}", refused.Message, StringComparison.Ordinal);
        Assert.Equal(right, data.KeyId);
    }

    [Fact]
    public void Open_NewKeyAboveTheOld_RotatesAndKeepsTheOldForOpening()
    {
        using var data = Data();
        var old = MasterKey.Random();
        var next = MasterKey.Random();
        Write("k", old);
        Open(data, _directory["k"]);

        Write("k", next, old);
        var keys = Open(data, _directory["k"]);

        Assert.Equal((next.Id, old.Id, next.Id), (keys.Current.Id, keys.Oldest.Id, data.KeyId));
    }

    [Fact]
    public void Open_GeneratedKeyLost_IsNeverMadeAnew()
    {
        using var data = Data();
        var id = Open(data).Current.Id;
        var path = _directory[$"home/.local/state/sallyport/keys/{data.Id}.key"];
        File.Delete(path);

        var refused = Refused(data);

        Assert.Contains(id, refused.Message, StringComparison.Ordinal);
        Assert.Contains(path, refused.Message, StringComparison.Ordinal);
        Assert.False(File.Exists(path));
    }

    [Fact]
    public void Open_NamedFileMissing_SaysHowToMakeOne()
    {
        using var data = Data();

        Assert.Contains("openssl rand -base64 32", Refused(data, _directory["missing.key"]).Message, StringComparison.Ordinal);
        Assert.Null(data.KeyId);
    }

    [Theory]
    [InlineData(UnixFileMode.GroupRead, "0640")]
    [InlineData(UnixFileMode.OtherRead, "0604")]
    [InlineData(UnixFileMode.UserExecute, "0700")]
    public void Open_ModeLooserThan0600_NamesTheCommandThatMendsIt(UnixFileMode extra, string mode)
    {
        using var data = Data();
        Write("k", MasterKey.Random());
        File.SetUnixFileMode(_directory["k"], Private | extra);

        var refused = Refused(data, _directory["k"]);

        Assert.Contains(mode, refused.Message, StringComparison.Ordinal);
        Assert.Contains($"chmod 600 '{_directory["k"]}'", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Open_InsideTheDataDirectory_IsRefused()
    {
        using var data = Data();
        _environment["XDG_STATE_HOME"] = data.Path;

        Assert.Contains("inside the data directory", Refused(data).Message, StringComparison.Ordinal);
        Assert.Contains("inside the data directory", Refused(data, Path.Combine(data.Path, "tls", "..", "k")).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("", "is empty")]
    [InlineData("secretsecret", "is not a key file")]
    [InlineData("sallyport-key:1:c2hvcnQ=", "is not a key file")]
    [InlineData("sallyport-key:1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "is not a key file")]
    [InlineData("sallyport-key:2:whatever", "newer format")]
    public void Open_NotAKey_IsRefusedWithoutShowingIt(string content, string reason)
    {
        using var data = Data();
        PrivateFile.Replace(_directory["k"], System.Text.Encoding.UTF8.GetBytes(content));

        var refused = Refused(data, _directory["k"]);

        Assert.Contains(reason, refused.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("secretsecret", refused.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void MasterKey_Derivation_IsFrozen()
    {
        var key = new MasterKey(Enumerable.Range(0, 32).Select(i => (byte)i).ToArray());

        Assert.Equal("5b07d17f860b3bff", key.Id);
        Assert.Equal("8dd43354f88f6dd3f0fe3f4b61d98cbeef18ed0ac778325f3cfc7e25e6ec0537", Convert.ToHexStringLower(key.Derive("metadata-secrets")));
        Assert.Equal("f856b842418c3a1c079870fcb80ad3504b945c26298e416e00006047f1203640", Convert.ToHexStringLower(key.Derive("log-mac")));
        Assert.Equal($"key {key.Id}", key.ToString());
    }

    private DataDirectory Data(string name = "data") => DataDirectory.Open(_directory[name], TimeProvider.System);

    private KeyRing Open(DataDirectory data, string? keyFile = null) => KeyFile.Open(data, keyFile, name => _environment.GetValueOrDefault(name));

    private UnusableDataException Refused(DataDirectory data, string? keyFile = null) => Assert.Throws<UnusableDataException>(() => Open(data, keyFile));

    private string Write(string name, params MasterKey[] keys)
    {
        PrivateFile.Replace(_directory[name], System.Text.Encoding.UTF8.GetBytes(string.Concat(keys.Select(key => $"sallyport-key:1:{key.ToBase64()}\n"))));
        return keys[0].Id;
    }
}
