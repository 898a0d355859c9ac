using Sallyport.Cli;

return await CommandLine.RunAsync(args, new Terminal(Console.In, Console.Out, Console.Error), TimeProvider.System).ConfigureAwait(false);
