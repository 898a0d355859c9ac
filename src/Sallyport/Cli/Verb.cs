using System.CommandLine;

namespace Sallyport.Cli;

/// <summary>A command that does something, with an example for its help.</summary>
internal sealed class Verb : Command
{
    /// <param name="example">Without the program's name.</param>
    /// <param name="options">Its own; common ones are added by whoever makes the verb.</param>
    public Verb(string name, string description, string example, IEnumerable<Option> options, Func<ParseResult, CancellationToken, Task<int>> run)
        : base(name, description)
    {
        Example = example;
        foreach (var option in options)
            Options.Add(option);
        SetAction(run);
    }

    public string Example { get; }
}
