using Sallyport.Storage.EventLog;

namespace Sallyport.Mutants.EventLog;

/// <summary>The mutant that says "on disk" without asking the disk: a log over it acknowledges what a power cut takes away.</summary>
internal sealed class UnsyncedFiles(ILogFiles files) : ILogFiles
{
    public long FreeBytes => files.FreeBytes;

    public IReadOnlyList<string> List() => files.List();

    public ILogFile Open(string name, bool create) => new UnsyncedFile(files.Open(name, create));

    public void Rename(string from, string to) => files.Rename(from, to);

    public void Delete(string name) => files.Delete(name);

    public void SyncDirectory() => files.SyncDirectory();

    private sealed class UnsyncedFile(ILogFile file) : ILogFile
    {
        public long Length => file.Length;

        public int Read(Span<byte> buffer, long position) => file.Read(buffer, position);

        public void Write(ReadOnlySpan<byte> bytes, long position) => file.Write(bytes, position);

        public void Fill(int bytes) => file.Fill(bytes);

        public void Sync()
        {
            // The defence that is switched off.
        }

        public void Forget(long position, long length) => file.Forget(position, length);

        public void Dispose() => file.Dispose();
    }
}
