using System.Xml.Linq;
using Sallyport.Protocol.Identities;
using Sallyport.Tests.Executable;

namespace Sallyport.Tests.Architecture;

/// <summary>The table of projects, with a reason for each line: what a project may see and what it may drag in.</summary>
public sealed class ProjectTests
{
    private static readonly ProjectRule[] Rules =
    [
        new("Protocol", [], [], "words and bytes of both ends of a wire: a client ships it, so nothing comes with it"),
        new("Storage", ["Protocol"], ["Microsoft.Data.Sqlite", "Microsoft.Extensions.Logging.Abstractions"], "the one place that knows files and SQL of the hub's own data"),
        new("Hub", ["Storage"], [], "what the hub promises, without knowing which protocol asks"),
        new("Heads", ["Hub"], [], "ASP.NET Core stops here"),
        new("Client", ["Protocol"], [], "a device takes it along: no third party"),
        new("Services", ["Storage"], ["Azure.Storage.Blobs", "Npgsql", "Microsoft.Extensions.Logging.Abstractions"], "readers of the log see the log, never the hub: they act on devices only through a port"),
        new("", ["Client", "Heads", "Services"], ["CsvHelper", "OpenTelemetry.Exporter.Prometheus.AspNetCore", "OpenTelemetry.Extensions.Hosting", "Spectre.Console", "System.CommandLine"], "the executable composes all of them"),
    ];

    public static TheoryData<string> Names => [.. Rules.Select(rule => rule.Name)];

    [Fact]
    public void Projects_InSrc_AreThoseOfTheTable()
    {
        var projects = Directory.GetDirectories(Path.Combine(SourceTree.Root, "src")).Where(directory => Directory.GetFiles(directory, "*.csproj").Length > 0);

        Assert.Equal(Rules.Select(rule => rule.Project).Order(), projects.Select(Path.GetFileName).Order());
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Project_References_AreThoseOfTheTable(string name)
    {
        var rule = Rules.Single(rule => rule.Name == name);
        var project = XDocument.Parse(SourceTree.Read(Path.Combine("src", rule.Project, rule.Project + ".csproj")));

        Assert.True(
            rule.References.Select(reference => $"Sallyport.{reference}").Order().SequenceEqual(
                project.Descendants("ProjectReference").Select(reference => Path.GetFileNameWithoutExtension(reference.Attribute("Include")!.Value)).Order()),
            $"{rule.Project} references other projects than the table says: {rule.Reason}");
        Assert.True(
            rule.Packages.Order().SequenceEqual(project.Descendants("PackageReference").Select(package => package.Attribute("Include")!.Value).Order()),
            $"{rule.Project} takes other packages than the table says: {rule.Reason}");
    }

    [Fact]
    public void Protocol_Assembly_NeedsTheBaseLibraryOnly()
    {
        var references = typeof(Identity).Assembly.GetReferencedAssemblies();

        Assert.All(references, reference => Assert.StartsWith("System.", reference.Name));
    }

    [Fact]
    public void Program_AndAllThatItLoads_HoldsNoMutant()
    {
        var seen = new Dictionary<string, System.Reflection.Assembly>();
        var open = new Queue<System.Reflection.Assembly>([typeof(Cli.CommandLine).Assembly]);
        while (open.TryDequeue(out var assembly))
        {
            if (!seen.TryAdd(assembly.GetName().Name!, assembly))
                continue;
            foreach (var reference in assembly.GetReferencedAssemblies().Where(reference => reference.Name!.StartsWith("Sallyport", StringComparison.Ordinal)))
                open.Enqueue(System.Reflection.Assembly.Load(reference));
        }

        Assert.Equal(Rules.Select(rule => rule.Name.Length == 0 ? "sallyport" : rule.Project).Order(), seen.Keys.Order());
        Assert.DoesNotContain(seen.Values.SelectMany(assembly => assembly.GetTypes()), type => type.FullName!.Contains("Mutant", StringComparison.OrdinalIgnoreCase));
    }

    private sealed record ProjectRule(string Name, string[] References, string[] Packages, string Reason)
    {
        public string Project => Name.Length == 0 ? "Sallyport" : $"Sallyport.{Name}";
    }
}
