using System.Buffers;
using System.IO.Pipelines;
using System.Text;
using Sallyport.Heads.Mqtt;
using Sallyport.Hub.Access;
using Sallyport.Protocol.Mqtt;

namespace Sallyport.Tests.Heads.Mqtt;

/// <summary>The device's end of a connection in memory: send bytes, expect bytes.</summary>
internal sealed class MqttTestClient : IDuplexPipe, IDisposable
{
    /// <summary>Only how long a test that hangs waits before it fails.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    private readonly Pipe _toHub = new();
    private readonly Pipe _toDevice = new();
    private readonly CancellationTokenSource _closed = new();

    public MqttTestClient(MqttHead head, Peer peer)
    {
        Served = head.RunAsync(this, peer, certificate: null, lease: null, Abort, _closed.Token);
    }

    PipeReader IDuplexPipe.Input => _toHub.Reader;

    PipeWriter IDuplexPipe.Output => _toDevice.Writer;

    /// <summary>Completes when the hub is through with the connection.</summary>
    public Task Served { get; }

    /// <summary>Cuts the connection, from either end.</summary>
    public void Abort()
    {
        _toHub.Writer.Complete(new IOException("connection reset"));
        _toHub.Reader.CancelPendingRead();
        _toDevice.Writer.CancelPendingFlush();
        _closed.Cancel();
    }

    public async Task SendAsync(params byte[][] packets)
    {
        foreach (var packet in packets)
            await _toHub.Writer.WriteAsync(packet);
    }

    /// <summary>Sends all of them so that they arrive in one read.</summary>
    public async Task SendTogetherAsync(params byte[][] packets)
    {
        foreach (var packet in packets)
            _toHub.Writer.Write(packet);
        await _toHub.Writer.FlushAsync();
    }

    /// <summary>The next bytes from the hub are these.</summary>
    public async Task ExpectAsync(params byte[][] packets)
    {
        var expected = packets.SelectMany(p => p).ToArray();
        var received = await ReadAsync(expected.Length);
        Assert.Equal(Convert.ToHexString(expected), Convert.ToHexString(received));
    }

    /// <summary>The next packet from the hub is a message of this topic.</summary>
    public async Task<(string Topic, string Payload)> ExpectMessageAsync()
    {
        while (true)
        {
            var read = await _toDevice.Reader.ReadAsync().AsTask().WaitAsync(Patience);
            var input = read.Buffer;
            if (MqttFrame.TryRead(ref input, MqttServerSession.MaxPacketLength, out var frame))
            {
                var publish = MqttPublish.Read(frame);
                var message = (Encoding.UTF8.GetString(publish.Topic), Encoding.UTF8.GetString(publish.Payload));
                _toDevice.Reader.AdvanceTo(input.Start);
                return message;
            }

            _toDevice.Reader.AdvanceTo(input.Start, input.End);
            Assert.False(read.IsCompleted, "the hub closed the connection");
        }
    }

    /// <summary>The hub answers a ping: it has worked through everything before, and the connection lives.</summary>
    public async Task ExpectAliveAsync()
    {
        await SendAsync([0xc0, 0]);
        await ExpectAsync([0xd0, 0]);
    }

    /// <summary>The hub sends nothing more and closes.</summary>
    public async Task ExpectClosedAsync()
    {
        while (true)
        {
            var read = await _toDevice.Reader.ReadAsync().AsTask().WaitAsync(Patience);
            Assert.True(read.Buffer.IsEmpty, $"the hub sent {read.Buffer.Length} more bytes");
            _toDevice.Reader.AdvanceTo(read.Buffer.End);
            if (read.IsCompleted)
                break;
        }

        await Served.WaitAsync(Patience);
    }

    /// <summary>Closes the device's end without DISCONNECT.</summary>
    public async Task GoAwayAsync()
    {
        await _toHub.Writer.CompleteAsync();
        await Served.WaitAsync(Patience);
    }

    /// <summary>Reads past so many bytes.</summary>
    public async ValueTask SkipAsync(int count)
    {
        var read = await _toDevice.Reader.ReadAtLeastAsync(count);
        _toDevice.Reader.AdvanceTo(read.Buffer.GetPosition(count));
    }

    public ValueTask<FlushResult> WriteAsync(ReadOnlyMemory<byte> bytes) => _toHub.Writer.WriteAsync(bytes);

    public void Dispose() => _closed.Dispose();

    /// <summary>The next bytes from the hub, exactly so many.</summary>
    public async Task<byte[]> ReadAsync(int count)
    {
        var read = await _toDevice.Reader.ReadAtLeastAsync(count).AsTask().WaitAsync(Patience);
        Assert.True(read.Buffer.Length >= count, $"the hub closed after {read.Buffer.Length} bytes");
        var bytes = read.Buffer.Slice(0, count).ToArray();
        _toDevice.Reader.AdvanceTo(read.Buffer.GetPosition(count));
        return bytes;
    }
}
