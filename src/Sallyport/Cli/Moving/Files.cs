using System.CommandLine;

namespace Sallyport.Cli.Moving;

/// <summary>The two kinds of files that hold a hub.</summary>
internal static class Files
{
    /// <summary>Exactly one of them.</summary>
    public static void RequireOne(Command verb, Option<string> devices, Option<string> state) => verb.Validators.Add(given =>
    {
        if (given.GetResult(devices) is null == given.GetResult(state) is null)
            given.AddError($"Give one of {devices.Name} and {state.Name}.");
    });
}
