using System.Text;

namespace Sallyport.Storage.Secrets;

/// <summary>
/// Where the master key of a data directory lies: in the file named by <c>--key-file</c>, in the systemd credential
/// <c>sallyport-key</c>, or in a file made at the first start, outside the data directory, so that a copy of the directory
/// alone opens nothing. The file's format is in <c>docs/formats/data-directory.md</c>.
/// </summary>
public static class KeyFile
{
    /// <summary>The name of the systemd credential (<c>LoadCredential=sallyport-key:…</c>).</summary>
    public const string CredentialName = "sallyport-key";

    private const string LinePrefix = "sallyport-key:";
    private const string Version1 = LinePrefix + "1:";

    /// <summary>Finds, makes on the very first start, and reads the key; checks that it is the one of this directory, and notes it there.</summary>
    /// <param name="keyFile">The value of <c>--key-file</c>; null when not given.</param>
    /// <param name="environment">Reads a variable of the environment: CREDENTIALS_DIRECTORY, XDG_STATE_HOME, HOME.</param>
    /// <exception cref="UnusableDataException">There is none and none may be made, others may read it, it lies inside the data directory, it is not a key, or not this directory's.</exception>
    public static KeyRing Open(DataDirectory directory, string? keyFile, Func<string, string?> environment)
    {
        var (path, origin) = Locate(directory.Id, keyFile, environment);
        try
        {
            if (IsInside(path, directory.Path))
                throw new UnusableDataException($"The key file '{path}' lies inside the data directory, so that a copy of the directory would hold its own key: name another place with --key-file.");
            if (!File.Exists(path))
                MakeFirst(directory, path, origin);
            if (origin != Origin.Credential)
                RefuseOthers(path);

            var keys = new KeyRing(Parse(path, File.ReadAllText(path)), RetiredKeys.None);
            if (directory.KeyId is { } needed && keys.Keys.All(key => key.Id != needed))
                throw new UnusableDataException($"The key file '{path}' holds key {keys.Current.Id}, and the data directory '{directory.Path}' was written with key {needed}: give the file that holds that key with --key-file.");

            keys = new KeyRing(keys.Keys, RetiredKeys.Read(directory.RetiredKeysPath, directory.Id, keys.Keys));
            directory.RecordKeyId(keys.Current.Id);
            return keys;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new UnusableDataException($"The key file '{path}' cannot be used: {exception.Message}", exception);
        }
    }

    /// <summary>Which file <see cref="Open"/> takes.</summary>
    public static string PathOf(DataDirectory directory, string? keyFile, Func<string, string?> environment) => Locate(directory.Id, keyFile, environment).Path;

    /// <summary>Reads the key for somebody who only checks what it signed, and holds no directory.</summary>
    /// <param name="directoryId">Of the data directory that it belongs to.</param>
    /// <param name="auditDirectory">Of its audit trail: what is kept of retired keys lies in the directory around it, or in it when it is an archive.</param>
    /// <returns>Null when none is named and none is where the hub would have made it.</returns>
    /// <exception cref="UnusableDataException">The file cannot be read, or is not a key.</exception>
    public static KeyRing? TryRead(string directoryId, string auditDirectory, string? keyFile, Func<string, string?> environment)
    {
        var (path, origin) = Locate(directoryId, keyFile, environment);
        try
        {
            if (origin == Origin.Made && !File.Exists(path))
                return null;

            var keys = Parse(path, File.ReadAllText(path));
            var archived = Path.Combine(auditDirectory, RetiredKeys.FileName);
            return new KeyRing(keys, RetiredKeys.Read(
                File.Exists(archived) ? archived : Path.Combine(Path.GetFullPath(auditDirectory), "..", RetiredKeys.FileName), directoryId, keys));
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new UnusableDataException($"The key file '{path}' cannot be used: {exception.Message}", exception);
        }
    }

    /// <summary>Whether <see cref="Replace"/> can: a systemd credential is a read-only copy of what somebody else keeps.</summary>
    internal static bool CanReplace(DataDirectory directory, string? keyFile, Func<string, string?> environment) =>
        Locate(directory.Id, keyFile, environment).Origin != Origin.Credential;

    /// <summary>Puts other keys in the place of those that the file holds; durable when it returns, and a crash leaves the one or the other.</summary>
    /// <param name="before">What it holds, as far as this process knows.</param>
    /// <exception cref="UnusableDataException">It holds something else by now, or cannot be written.</exception>
    internal static void Replace(DataDirectory directory, string? keyFile, Func<string, string?> environment, KeyRing before, KeyRing after)
    {
        var path = Locate(directory.Id, keyFile, environment).Path;
        try
        {
            if (!Parse(path, File.ReadAllText(path)).Select(key => key.Id).SequenceEqual(before.Keys.Select(key => key.Id)))
                throw new UnusableDataException($"The key file '{path}' was changed since the hub started: start the hub anew, so that it uses what the file holds now, and ask again.");

            // A link stays one: what it points at is the file.
            var target = File.ResolveLinkTarget(path, returnFinalTarget: true)?.FullName ?? path;
            PrivateFile.Replace(target, Encoding.ASCII.GetBytes(string.Concat(after.Keys.Select(key => $"{Version1}{key.ToBase64()}\n"))));
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new UnusableDataException($"The key file '{path}' cannot be written by the hub: {exception.Message}", exception);
        }
    }

    private static (string Path, Origin Origin) Locate(string directoryId, string? keyFile, Func<string, string?> environment)
    {
        if (keyFile is not null)
            return (Path.GetFullPath(keyFile), Origin.Named);
        if (environment("CREDENTIALS_DIRECTORY") is { Length: > 0 } credentials && Path.Combine(credentials, CredentialName) is var credential && File.Exists(credential))
            return (credential, Origin.Credential);

        // A relative path in XDG_STATE_HOME is to be ignored (XDG Base Directory Specification).
        var state = environment("XDG_STATE_HOME") is { } given && Path.IsPathFullyQualified(given) ? given
            : environment("HOME") is { } home && Path.IsPathFullyQualified(home) ? Path.Combine(home, ".local", "state")
            : throw new UnusableDataException("There is no place for the key of the data directory because neither HOME nor XDG_STATE_HOME is set: set one of them, or name a file with --key-file.");
        return (Path.Combine(state, "sallyport", "keys", directoryId + ".key"), Origin.Made);
    }

    private static void MakeFirst(DataDirectory directory, string path, Origin origin)
    {
        if (directory.KeyId is { } needed)
            throw new UnusableDataException($"The key of the data directory '{directory.Path}' (key {needed}) is not in '{path}': restore that file, or name the one that holds the key with --key-file.");
        if (origin == Origin.Named)
            throw new UnusableDataException($"There is no key file '{path}'; make one with: (umask 077; echo \"{Version1}$(openssl rand -base64 32)\" > '{path}')");

        var keys = Path.GetDirectoryName(path)!;
        Directory.CreateDirectory(keys, PrivateFile.DirectoryMode);
        File.SetUnixFileMode(keys, PrivateFile.DirectoryMode);
        PrivateFile.Replace(path, Encoding.ASCII.GetBytes($"{Version1}{MasterKey.Random().ToBase64()}\n"));
    }

    // systemd guards a credential with the directory around it and may show group bits that only mirror an access list.
    private static void RefuseOthers(string path)
    {
        var mode = File.GetUnixFileMode(path);
        if ((mode & ~PrivateFile.Mode) != 0)
            throw new UnusableDataException($"The key file '{path}' has mode {Convert.ToString((int)mode, 8).PadLeft(4, '0')} and must be for its owner only: run chmod 600 '{path}'.");
    }

    private static bool IsInside(string path, string directory) => path.StartsWith(directory + Path.DirectorySeparatorChar, StringComparison.Ordinal);

    private static List<MasterKey> Parse(string path, string text)
    {
        List<MasterKey> keys = [];
        foreach (var line in text.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            var key = new byte[MasterKey.Length];
            if (line.StartsWith(LinePrefix, StringComparison.Ordinal) && !line.StartsWith(Version1, StringComparison.Ordinal))
                throw new UnusableDataException($"The key file '{path}' is of a newer format than this Sallyport knows: start the newer Sallyport that wrote it.");
            if (!line.StartsWith(Version1, StringComparison.Ordinal) || !Convert.TryFromBase64String(line[Version1.Length..], key, out var length) || length != MasterKey.Length)
                throw new UnusableDataException($"The key file '{path}' is not a key file: each line is {Version1} and 32 bytes in base64, the newest key first.");

            keys.Add(new MasterKey(key));
        }

        if (keys.Count == 0 || keys.DistinctBy(key => key.Id).Count() != keys.Count)
            throw new UnusableDataException($"The key file '{path}' {(keys.Count == 0 ? "is empty" : "holds a key twice")}: each line is one key, the newest first.");

        return keys;
    }

    private enum Origin
    {
        Named,
        Credential,
        Made,
    }
}
