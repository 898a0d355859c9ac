using System.ComponentModel;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Sallyport.Storage;

/// <summary>
/// The calls of Linux that .NET does not offer: syncing a directory, asking for an owner, and a lock whose file others may still
/// read (.NET locks every file it opens, so a second process could not read the first one's id). Numbers are those of x64 and arm64.
/// </summary>
internal static class Posix
{
    private const int ReadOnly = 0;
    private const int ReadWrite = 2;
    private const int WriteOnly = 1;
    private const int Create = 0x40;
    private const int CloseOnExec = 0x80000;
    private const int LockExclusive = 2;
    private const int LockNonBlocking = 4;
    private const int DontNeed = 4;
    private const int WouldBlock = 11;
    private const int CurrentDirectory = -100;
    private const uint StatxUser = 0x8;
    private const int StatxUserAt = 20;

    /// <summary>What the address, the place and the length of a direct write must be multiples of, in bytes; disks ask for 512 or 4096.</summary>
    public const int DirectAlignment = 4096;

    // O_DIRECT is one of the few flags whose number differs between the two.
    private static readonly int Direct = RuntimeInformation.ProcessArchitecture == Architecture.Arm64 ? 0x10000 : 0x4000;

    public static uint EffectiveUser => geteuid();

    /// <summary>The id of the user that owns a file or directory; links are followed.</summary>
    /// <exception cref="IOException">It cannot be asked.</exception>
    public static uint OwnerOf(string path)
    {
        var buffer = new byte[256];
        if (statx(CurrentDirectory, path, 0, StatxUser, buffer) != 0)
            throw Failure($"ask for the owner of '{path}'");

        return BitConverter.ToUInt32(buffer, StatxUserAt);
    }

    /// <summary>Makes the names in a directory durable: files created, renamed or deleted in it.</summary>
    /// <exception cref="IOException">The directory could not be synced.</exception>
    public static void SyncDirectory(string path)
    {
        using var directory = Open(path, ReadOnly | CloseOnExec);
        if (fsync(directory) != 0)
            throw Failure($"sync directory '{path}'");
    }

    /// <summary>Opens a file for reading and writing, made with mode 0600 when it is missing, without the lock that .NET would take. Not inherited by child processes.</summary>
    /// <exception cref="IOException">It cannot be opened.</exception>
    public static SafeFileHandle OpenUnlocked(string path) => Open(path, ReadWrite | Create | CloseOnExec);

    /// <summary>Opens an existing file for writes that pass the page cache by; null where the file system does not offer that.</summary>
    public static SafeFileHandle? TryOpenDirect(string path)
    {
        var descriptor = open(path, WriteOnly | Direct | CloseOnExec, 0);
        return descriptor >= 0 ? new SafeFileHandle(descriptor, ownsHandle: true) : null;
    }

    /// <summary>Tells the page cache that a range of a file need not stay in memory. A hint: whether it is taken does not matter.</summary>
    public static void DropPages(SafeFileHandle file, long position, long length) => _ = posix_fadvise(file, position, length, DontNeed);

    /// <summary>Takes the file's exclusive lock; the kernel gives it back when the last handle is closed, also by kill -9.</summary>
    /// <returns>False when somebody else holds it.</returns>
    /// <exception cref="IOException">The file system has no locks.</exception>
    public static bool TryLock(SafeFileHandle file)
    {
        if (flock(file, LockExclusive | LockNonBlocking) == 0)
            return true;

        return Marshal.GetLastPInvokeError() == WouldBlock ? false : throw Failure("lock a file");
    }

    private static SafeFileHandle Open(string path, int flags)
    {
        var descriptor = open(path, flags, 0x180);
        return descriptor >= 0 ? new SafeFileHandle(descriptor, ownsHandle: true) : throw Failure($"open '{path}'");
    }

    private static IOException Failure(string what)
    {
        var cause = new Win32Exception(Marshal.GetLastPInvokeError());
        return new IOException($"Cannot {what}: {cause.Message}.", cause);
    }

#pragma warning disable IDE1006, SYSLIB1054 // The C library's names; no unsafe code for calls that happen once per start.
    [DllImport("libc")]
    private static extern uint geteuid();

    [DllImport("libc", SetLastError = true)]
    private static extern int statx(int directory, [MarshalAs(UnmanagedType.LPUTF8Str)] string path, int flags, uint mask, [Out] byte[] buffer);

    [DllImport("libc", SetLastError = true)]
    private static extern int open([MarshalAs(UnmanagedType.LPUTF8Str)] string path, int flags, int mode);

    [DllImport("libc", SetLastError = true)]
    private static extern int fsync(SafeFileHandle file);

    [DllImport("libc", SetLastError = true)]
    private static extern int flock(SafeFileHandle file, int operation);
    [DllImport("libc")]
    private static extern int posix_fadvise(SafeFileHandle file, long offset, long length, int advice);
#pragma warning restore IDE1006, SYSLIB1054
}
