namespace Sallyport.Settings;

/// <summary>Where a hub keeps its data when nobody says so.</summary>
internal static class DataPath
{
    /// <summary>
    /// <c>$XDG_STATE_HOME/sallyport/data</c>, by default <c>~/.local/state/sallyport/data</c> (XDG Base Directory Specification): the same for every
    /// verb, whatever directory it is called from.
    /// </summary>
    public static string Default()
    {
        var state = Environment.GetEnvironmentVariable("XDG_STATE_HOME");
        if (!Path.IsPathRooted(state))
            state = Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".local", "state");
        return Path.GetFullPath(Path.Combine(state, "sallyport", "data"));
    }
}
