using static Sallyport.Bench.Native;

namespace Sallyport.Bench;

/// <summary>One TLS connection over a socket: libssl without a stream, a pool or an allocation. Owned by one thread.</summary>
internal sealed unsafe class TlsSocket : IDisposable
{
    private readonly nint _ssl;
    private byte[] _unsent = [];
    private int _unsentLength;

    public TlsSocket(nint context, int descriptor, bool server)
    {
        Descriptor = descriptor;
        _ssl = SSL_new(context);
        SSL_set_fd(_ssl, descriptor);
        if (server)
            SSL_set_accept_state(_ssl);
        else
            SSL_set_connect_state(_ssl);
    }

    public int Descriptor { get; }

    public bool Established { get; private set; }

    /// <summary>True when the handshake is done; on a non-blocking socket it is called again whenever the socket is readable.</summary>
    public bool Handshake()
    {
        ERR_clear_error();
        var result = SSL_do_handshake(_ssl);
        if (result == 1)
            return Established = true;

        var error = SSL_get_error(_ssl, result);
        if (error is SSL_ERROR_WANT_READ or SSL_ERROR_WANT_WRITE)
            return false;

        throw new IOException($"TLS handshake failed (SSL error {error})");
    }

    /// <summary>Bytes read; 0 when there are none now; -1 at the end of the connection.</summary>
    public int Read(byte* buffer, int length)
    {
        ERR_clear_error();
        var result = SSL_read(_ssl, buffer, length);
        return result > 0 ? result : SSL_get_error(_ssl, result) is SSL_ERROR_WANT_READ or SSL_ERROR_WANT_WRITE ? 0 : -1;
    }

    /// <summary>Sends all of it, now or when <see cref="Flush"/> is called; false when the connection is gone.</summary>
    public bool Write(ReadOnlySpan<byte> bytes)
    {
        if (_unsentLength > 0)
        {
            Keep(bytes);
            return Flush();
        }

        while (!bytes.IsEmpty)
        {
            var piece = bytes[..Math.Min(bytes.Length, 16384)];
            fixed (byte* p = piece)
            {
                ERR_clear_error();
                var result = SSL_write(_ssl, p, piece.Length);
                if (result <= 0)
                {
                    if (SSL_get_error(_ssl, result) is not (SSL_ERROR_WANT_READ or SSL_ERROR_WANT_WRITE))
                        return false;

                    Keep(bytes);
                    return true;
                }

                bytes = bytes[result..];
            }
        }

        return true;
    }

    /// <summary>Sends what an earlier <see cref="Write"/> could not.</summary>
    public bool Flush()
    {
        if (_unsentLength == 0)
            return true;

        var length = _unsentLength;
        _unsentLength = 0;
        return Write(_unsent.AsSpan(0, length).ToArray());
    }

    public bool HasUnsent => _unsentLength > 0;

    public void Dispose()
    {
        SSL_free(_ssl);
        close(Descriptor);
    }

    private void Keep(ReadOnlySpan<byte> bytes)
    {
        if (_unsent.Length < _unsentLength + bytes.Length)
            Array.Resize(ref _unsent, (_unsentLength + bytes.Length) * 2);
        bytes.CopyTo(_unsent.AsSpan(_unsentLength));
        _unsentLength += bytes.Length;
    }
}
