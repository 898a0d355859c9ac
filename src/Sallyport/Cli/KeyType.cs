using System.CommandLine;

namespace Sallyport.Cli;

/// <summary>Which of the two keys a verb uses.</summary>
internal static class KeyType
{
    public const string Primary = "primary";
    public const string Secondary = "secondary";

    public static Option<string> Option() => Flags.Choice("--key-type", "Which key to use", [Primary, Secondary], Primary, "--kt");
}
