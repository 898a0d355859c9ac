using Sallyport.Tests.Heads.Amqp;
using Sallyport.Tests.Protocol.Amqp;

namespace Sallyport.Tests.Executable.Bounds;

/// <summary>What a stranger may say over AMQP that was made to cost the hub more than its sender.</summary>
/// <param name="Bytes">All that is said.</param>
/// <param name="Told">What the hub answers; behind a close the connection ends, without one it goes on.</param>
/// <param name="Reason">Part of the reason in the audit trail; null where nothing is refused.</param>
internal sealed record HostileFrames(string Name, byte[] Bytes, string Told, string? Reason)
{
    // 256 million values in 10 bytes: each of them takes none.
    private static readonly Encoded Bomb = new([0xf0, .. AmqpMessages.BigEndian(5), 0x10, 0, 0, 0, 0x40]);
    private static readonly Encoded ZeroBomb = new([0xf0, .. AmqpMessages.BigEndian(5), 0x10, 0, 0, 0, 0x43]);
    private static readonly Encoded ListBomb = new([0xf0, .. AmqpMessages.BigEndian(5), 0x10, 0, 0, 0, 0x45]);
    private static readonly Encoded SymbolBomb = new([0xf0, .. AmqpMessages.BigEndian(5), 0x10, 0, 0, 0, 0xa3]);

    public static IReadOnlyList<HostileFrames> OfStrangers { get; } =
    [
        // Open: its properties are not looked at.
        new("256 million nulls in open.properties", Open(Bomb), "header, open", null),
        new("256 million zeros in open.properties", Open(ZeroBomb), "header, open", null),
        new("256 million lists in open.properties", Open(ListBomb), "header, open", null),
        new("a map of bombs in open.properties", Open(AmqpMessages.Map((new Symbol("a"), Bomb), (new Symbol("b"), ListBomb))), "header, open", null),
        new("6,000 nested lists in open.properties", Open(Nested(6_000)), "header, open", null),
        new("55,000 descriptors in open.properties", Open(new Encoded([.. new byte[55_000], 0x40])), "header, open", null),
        new("55,000 descriptors before open", [.. Frames.AmqpHeader, .. Frames.Of(0, 0, new byte[55_000])], "header, open, close amqp:decode-error", "holds no performative"),
        new("a list that claims 4 billion fields", [.. Frames.AmqpHeader, .. Frames.Of(0, 0, [0, 0x53, 0x10, 0xd0, 0, 0, 0, 5, 0xff, 0xff, 0xff, 0xff, 0x40])], "header, open, close amqp:decode-error", "holds no performative"),
        new("a list that is longer than its frame", [.. Frames.AmqpHeader, .. Frames.Of(0, 0, [0, 0x53, 0x10, 0xd0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 1, 0x40])], "header, open, close amqp:decode-error", "holds no performative"),
        new("a name that claims 2 GiB", [.. Frames.AmqpHeader, .. Frames.Of(0, 0, [0, 0x53, 0x10, 0xd0, 0, 0, 0, 9, 0, 0, 0, 1, 0xb1, 0x7f, 0xff, 0xff, 0xff])], "header, open, close amqp:decode-error", "open: a field"),
        new("a container id of 50 KB", [.. Frames.AmqpHeader, .. Frames.Amqp(0, 0x10, new string('c', 50_000))], "header, open, close amqp:decode-error", "open: a field is longer"),
        new("a host name of 50 KB", [.. Frames.AmqpHeader, .. Frames.Amqp(0, 0x10, "peer", new string('h', 50_000))], "header, open, close amqp:decode-error", "open: a field is longer"),

        // SASL.
        new("a mechanism of 50 KB", [.. Frames.SaslHeader, .. Frames.SaslInit(new string('M', 50_000))], "sasl-header, sasl-mechanisms", "sasl-init: a field is longer"),
        new("a response of 50 KB", [.. Frames.SaslHeader, .. Frames.SaslInit("PLAIN", new byte[50_000])], "sasl-header, sasl-mechanisms, sasl-outcome", "SASL PLAIN"),
        new("256 million nulls for a response", [.. Frames.SaslHeader, .. Frames.Sasl(0x41, new Symbol("PLAIN"), Bomb)], "sasl-header, sasl-mechanisms", "sasl-init: a field"),

        // Sessions and links.
        new("a channel that is too high", Session(Frames.Begin(channel: 65_535)), "header, open, begin, close amqp:connection:framing-error", "channel 65535"),
        new("a channel twice", Session(Frames.Begin()), "header, open, begin, close amqp:not-allowed", "has a session already"),
        new("a handle that is too high", Session(Frames.AttachSender(uint.MaxValue, "a", "$cbs")), "header, open, begin, close amqp:connection:framing-error", "handle 4294967295"),
        new("256 million symbols for capabilities", Session(Attach(capabilities: SymbolBomb)), "header, open, begin, close amqp:decode-error", "attach: a field"),
        new("256 million nulls for unsettled", Session(Attach(unsettled: Bomb)), "header, open, begin, close amqp:decode-error", "attach: a field"),
        new("256 million nulls for a filter", Session(Attach(filter: Bomb)), "header, open, begin, close amqp:decode-error", "source: a field"),
        new("a map of bombs for a filter", Session(Attach(filter: AmqpMessages.Map((new Symbol("apache.org:selector-filter:string"), Bomb)))), "header, open, begin, attach", null),
        new("1,000 nested lists for a filter", Session(Attach(filter: AmqpMessages.Map((new Symbol("f"), Nested(1_000))))), "header, open, begin, attach", null),
        new("an attach of 20 KB", Session(Attach(filter: AmqpMessages.Map((new Symbol("f"), new byte[20_000])))), "header, open, begin, close amqp:resource-limit-exceeded", "attach of more than"),

        // Requests to $cbs.
        new("a request that never ends", Session(Requests, Frames.Transfer(0, 0, new byte[12_000], more: true), Frames.Transfer(0, 0, new byte[12_000], more: true)),
            "header, open, begin, attach, flow, detach amqp:link:message-size-exceeded", "a message of more than 16384 bytes"),
        new("a request of nested lists", Session(Requests, Frames.Transfer(0, 0, [0, 0x53, 0x77, .. Nested(1_000).Bytes])), "header, open, begin, attach, flow, disposition", null),
        new("a request of 10,000 descriptors", Session(Requests, Frames.Transfer(0, 0, new byte[10_000])), "header, open, begin, attach, flow, disposition amqp:decode-error", null),
        new("a transfer without credit", Session(Requests, [.. Enumerable.Range(0, 2).Select(i => Frames.Transfer(0, (uint)i, [], aborted: true))], Frames.Transfer(5, 9, [])),
            "header, open, begin, attach, flow, end amqp:session:unattached-handle", "handle 5"),
    ];

    private static byte[] Requests => Frames.AttachSender(0, "ask", "$cbs");

    private static byte[] Open(Encoded properties) =>
        [.. Frames.AmqpHeader, .. Frames.Amqp(0, 0x10, "peer", "localhost", null, null, null, null, null, null, null, properties)];

    private static byte[] Session(params byte[][] frames) => [.. Frames.AmqpHeader, .. Frames.Open(), .. Frames.Begin(), .. Frames.Concat(frames)];

    private static byte[] Session(byte[] first, byte[][] frames, byte[] last) => Session([first, .. frames, last]);

    // Of a reader of $cbs, so that nobody needs to be known.
    private static byte[] Attach(object? filter = null, object? unsettled = null, object? capabilities = null) => Frames.Amqp(
        0, 0x12, "a", 0u, true, null, null, new Described(0x28, "$cbs", null, null, null, null, null, null, filter), new Described(0x29, "to"), unsettled, null, null, null, null, capabilities);

    private static Encoded Nested(int depth)
    {
        byte[] all = new byte[(depth * 9) + 1];
        for (var i = 0; i < depth; i++)
        {
            all[i * 9] = 0xd0;
            AmqpMessages.BigEndian(((depth - i - 1) * 9) + 5).CopyTo(all, (i * 9) + 1);
            AmqpMessages.BigEndian(1).CopyTo(all, (i * 9) + 5);
        }

        all[^1] = 0x40;
        return new Encoded(all);
    }
}
