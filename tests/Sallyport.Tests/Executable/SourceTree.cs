namespace Sallyport.Tests.Executable;

/// <summary>Where the sources of this build are.</summary>
internal static class SourceTree
{
    public static string Root { get; } = FindRoot();

    public static string Read(string path) => File.ReadAllText(Path.Combine(Root, path));

    /// <summary>
    /// A file that is written from code says what the code says. With <c>SALLYPORT_ACCEPT=1</c> in the environment it is written instead.
    /// </summary>
    public static void AssertHolds(string path, string content)
    {
        if (Environment.GetEnvironmentVariable("SALLYPORT_ACCEPT") == "1")
            File.WriteAllText(Path.Combine(Root, path), content);
        Assert.Equal(content, Read(path));
    }

    private static string FindRoot()
    {
        var directory = new DirectoryInfo(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(directory.FullName, "Sallyport.slnx")))
            directory = directory.Parent ?? throw new DirectoryNotFoundException($"there is no Sallyport.slnx above {AppContext.BaseDirectory}");
        return directory.FullName;
    }
}
