using System.Text;
using Sallyport.Hub.Moving;

namespace Sallyport.Tests.Hub.Moving;

public sealed class BoundedLinesTests
{
    [Theory]
    [InlineData("", new string[0])]
    [InlineData("a", new[] { "a" })]
    [InlineData("a\n", new[] { "a" })]
    [InlineData("a\r\nb\n\nc", new[] { "a", "b", "", "c" })]
    [InlineData("\n", new[] { "" })]
    [InlineData("12345678\r\n123456789\nx", new[] { "12345678", "too long", "x" })]
    [InlineData("1234567890123456789012345678901234567890\nx\n", new[] { "too long", "x" })]
    [InlineData("1234567890123456789012345678901234567890", new[] { "too long" })]
    public async Task Lines_AreRead_AndTooLongOnesPassedOver(string file, string[] lines)
    {
        foreach (var chunk in new[] { 1, 2, 3, 1000 })
            Assert.Equal(lines, await ReadAsync(Encoding.UTF8.GetBytes(file), chunk, 8));
    }

    [Fact]
    public async Task Lines_OfAnyBytesInAnyPieces_AreThoseBetweenTheirEnds()
    {
        for (var seed = 0; seed < 200; seed++)
        {
            var random = new Random(seed);
            var file = new byte[random.Next(400)];
            for (var i = 0; i < file.Length; i++)
                file[i] = random.Next(8) switch { 0 => (byte)'\n', 1 => (byte)'\r', _ => (byte)'x' };
            var text = Encoding.ASCII.GetString(file);
            var expected = text.Split('\n').Select(line => line.EndsWith('\r') ? line[..^1] : line).Select(line => line.Length > 20 ? "too long" : line).ToList();
            if (text.Length == 0 || text.EndsWith('\n'))
                expected.RemoveAt(expected.Count - 1);

            Assert.Equal(expected, await ReadAsync(file, random.Next(1, 30), 20));
        }
    }

    private static async Task<List<string>> ReadAsync(byte[] file, int chunk, int maxLineBytes)
    {
        var lines = new BoundedLines(new InChunks(file, chunk), maxLineBytes);
        var read = new List<string>();
        var last = 0L;
        while (await lines.ReadAsync(CancellationToken.None) is { } line)
        {
            Assert.Equal(read.Count + 1, line.Number);
            Assert.True(line.Bytes > last || file.Length == 0);
            last = line.Bytes;
            read.Add(line.IsTooLong ? "too long" : Encoding.UTF8.GetString(line.Text.Span));
        }

        Assert.Equal(file.Length, last);
        return read;
    }

    private sealed class InChunks(byte[] content, int chunk) : MemoryStream(content)
    {
        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) => base.ReadAsync(buffer[..Math.Min(chunk, buffer.Length)], cancellationToken);
    }
}
