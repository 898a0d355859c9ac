using Sallyport.Cli;

return await CommandLine.RunAsync(args, Terminal.OfProcess(), TimeProvider.System).ConfigureAwait(false);
