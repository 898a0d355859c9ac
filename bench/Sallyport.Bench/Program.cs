using System.CommandLine;
using Sallyport.Bench;

var root = new RootCommand("Measures Sallyport. Figures go into docs/benchmarks.md with machine and method.");
foreach (var command in Benchmarks.All())
    root.Subcommands.Add(command);
return await root.Parse(args).InvokeAsync();
