using System.Buffers;
using System.Buffers.Binary;
using System.IO.Pipelines;
using Sallyport.Protocol.Amqp;
using Sallyport.Tests.Heads.Mqtt;
using Sallyport.Tests.Protocol.Amqp;

namespace Sallyport.Tests.Heads.Amqp;

/// <summary>
/// A client's end of a connection, whatever carries it: says exactly the bytes that a test wants, and hears frames. Its <c>$cbs</c> links, when it
/// has them, have the handles 0 and 1 of channel 0.
/// </summary>
internal class AmqpWire(PipeReader input, PipeWriter output)
{
    private uint _nextDelivery;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    /// <summary>Says all of it in one write.</summary>
    public async Task SendAsync(params byte[][] frames)
    {
        output.Write(Frames.Concat(frames));
        await output.FlushAsync(Cancel);
    }

    /// <summary>The next frame or header.</summary>
    public async Task<Heard> HearAsync() => await TryHearAsync() ?? throw new EndOfStreamException("the hub has ended the connection");

    /// <summary>
    /// The next frames are these: names, with the condition of an error behind it. Before a close, the hub may take links and sessions down with
    /// the same error.
    /// </summary>
    public async Task<IReadOnlyList<Heard>> ExpectAsync(params string[] told)
    {
        var heard = new List<Heard>();
        foreach (var expected in told)
        {
            var frame = await HearAsync();
            heard.Add(frame);
            while (expected.StartsWith("close ", StringComparison.Ordinal) && frame.ToString() is { } other && (other == $"detach {expected[6..]}" || other == $"end {expected[6..]}"))
            {
                frame = await HearAsync();
                heard[^1] = frame;
            }

            if (expected != frame.ToString())
                Assert.Fail($"{string.Join(", ", heard)} {frame.Error?.Fields[1]} instead of {string.Join(", ", told)}");
        }

        return heard;
    }

    /// <summary>Hears frames up to one with this name and condition.</summary>
    public async Task<Heard> HearUntilAsync(string told)
    {
        while (true)
        {
            var frame = await HearAsync();
            if (frame.ToString() == told)
                return frame;
        }
    }

    /// <summary>Nothing more comes, and the connection ends.</summary>
    public async Task ExpectEndAsync() => Assert.Null(await TryHearAsync());

    /// <summary>Drops what comes until the connection ends.</summary>
    public async Task DrainAsync()
    {
        while (await TryHearAsync() is not null)
            continue;
    }

    /// <summary>Header and open without SASL, and a session on channel 0.</summary>
    /// <param name="idleTimeOutMs">Ours, which the hub is to respect.</param>
    public async Task OpenAsync(string host = "hub.test", uint? idleTimeOutMs = null, uint incomingWindow = 100_000)
    {
        await SendAsync(Frames.AmqpHeader, Frames.Amqp(0, 0x10, "peer", host, null, null, idleTimeOutMs), Frames.Begin(incomingWindow: incomingWindow));
        await ExpectAsync("header", "open", "begin");
    }

    /// <summary>The two links of <c>$cbs</c>.</summary>
    public async Task AttachCbsAsync()
    {
        await SendAsync(Frames.AttachSender(0, "cbs-out", "$cbs"), Frames.AttachReceiver(1, "cbs-in", "$cbs"), Frames.Credit(1, 0, 10_000));
        await ExpectAsync("attach", "flow", "attach");
    }

    /// <summary>Puts a token; the status of the answer.</summary>
    public async Task<int> PutAsync(string audience, string token)
    {
        await SendAsync(Frames.Transfer(0, _nextDelivery, AmqpMessages.PutToken(audience, token), settled: false));
        _nextDelivery++;
        Heard frame;
        do
            frame = await HearAsync();
        while (frame.Name is "disposition" or "flow");
        Assert.Equal("transfer", frame.Name);
        return StatusOf(frame);
    }

    /// <summary>An unsettled transfer with the next delivery id of channel 0.</summary>
    public byte[] Transfer(uint handle, byte[] message, uint format = 0, bool settled = false) =>
        Frames.Transfer(handle, _nextDelivery++, message, settled: settled, format: format);

    /// <summary>As <see cref="Transfer"/>, for a message that needs several frames.</summary>
    public byte[] Transfers(uint handle, byte[] message)
    {
        var parts = message.Chunk(32 * 1024).ToArray();
        return Frames.Concat([.. parts.Select((part, i) => Frames.Transfer(handle, i == 0 ? _nextDelivery++ : null, part, more: i < parts.Length - 1))]);
    }

    public static int StatusOf(Heard answer)
    {
        Assert.True(StoredMessage.TryRead(answer.Payload, out var message));
        Assert.True(message.ApplicationProperties.TryFind("status-code"u8, out var status));
        return (int)status.Signed;
    }

    private async Task<Heard?> TryHearAsync()
    {
        while (true)
        {
            ReadResult read;
            try
            {
                read = await input.ReadAsync(Cancel).AsTask().WaitAsync(MqttTestClient.Patience);
            }
            catch (Exception cut) when (cut is IOException or InvalidOperationException or System.Net.WebSockets.WebSocketException)
            {
                return null;
            }

            if (TryTake(read.Buffer, out var frame, out var consumed))
            {
                input.AdvanceTo(consumed);
                return frame;
            }

            input.AdvanceTo(read.Buffer.Start, read.Buffer.End);
            if (read.IsCompleted)
                return read.Buffer.IsEmpty ? null : throw new EndOfStreamException($"the connection ended in the middle of a frame: {read.Buffer.Length} bytes");
        }
    }

    private static bool TryTake(ReadOnlySequence<byte> buffer, out Heard? frame, out SequencePosition consumed)
    {
        (frame, consumed) = (null, buffer.Start);
        if (buffer.Length < 8)
            return false;

        var head = buffer.Slice(0, 4).ToArray();
        var size = head.AsSpan().SequenceEqual("AMQP"u8) ? 8 : BinaryPrimitives.ReadInt32BigEndian(head);
        if (buffer.Length < size)
            return false;

        frame = Assert.Single(Heard.All(buffer.Slice(0, size).ToArray()));
        consumed = buffer.GetPosition(size);
        return true;
    }
}
