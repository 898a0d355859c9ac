using System.Buffers;
using Sallyport.Protocol.Amqp.Performatives;

namespace Sallyport.Protocol.Amqp.Endpoints;

/// <summary>
/// One end of an AMQP 1.0 connection without I/O, for both roles: bytes in; steps for the driver and answers out. Headers, SASL, open and
/// close are here, sessions and links in their own classes; one method per frame, rules with their clause at the line end
/// (<c>docs/protocols/amqp.md</c>).
/// </summary>
/// <remarks>
/// Not thread-safe: a driver that sends from other threads than it reads on takes one lock around every call, also on sessions and links.
/// A peer's mistake costs it the link or session where the specification says so, else <see cref="AmqpProtocolException"/> is thrown and the
/// driver closes.
/// </remarks>
public sealed partial class AmqpConnection
{
    private enum Phase
    {
        /// <summary>Waits for the peer's first header.</summary>
        Header,

        /// <summary>SASL frames are exchanged.</summary>
        Sasl,

        /// <summary>SASL is over, or was not used: waits for the AMQP header.</summary>
        AmqpHeader,
        Open,
        Opened,

        /// <summary>We sent close: everything is dropped until the peer's [AMQP-2.4.3].</summary>
        CloseSent,
        Closed,
    }

    /// <summary>How many of our ends and detaches the peer may leave without an answer beyond its sessions and links; then the connection is closed.</summary>
    private const int Unanswered = 256;

    private readonly Dictionary<ushort, AmqpSession> _byRemoteChannel = [];
    private readonly List<AmqpSession> _begun = [];
    private AmqpSession? _lastSession;

    // The channel of the session that the peer ended last.
    private ushort? _lastEnded;
    private Phase _phase = Phase.Header;
    private byte[]? _scratch;
    private byte[]? _kept;
    private Disposition _outcomes;
    private int _outcomesLeft;
    private ushort _remoteChannelMax = ushort.MaxValue;

    /// <param name="output">Gets all that goes to the peer; see <see cref="Output"/>.</param>
    public AmqpConnection(AmqpOptions options, bool isServer, IBufferWriter<byte> output)
    {
        Options = options;
        IsServer = isServer;
        Output = output;
    }

    public AmqpOptions Options { get; }

    public bool IsServer { get; }

    /// <summary>Where frames are written; may be exchanged between calls.</summary>
    public IBufferWriter<byte> Output { get; set; }

    /// <summary>Mechanisms a server offers when the peer asks for SASL, in its order of preference.</summary>
    public IReadOnlyList<string> Mechanisms { get; set; } = [];

    /// <summary>Sessions beyond it are refused by ending them. A server keeps it low until somebody is authenticated.</summary>
    public int MaxSessions { get; set; } = int.MaxValue;

    /// <summary>Links beyond it are refused. A server keeps it low until somebody is authenticated.</summary>
    public int MaxLinks { get; set; } = int.MaxValue;

    /// <summary>Set with <see cref="AmqpStep.SaslInit"/>.</summary>
    public SaslInit? SaslInit { get; private set; }

    /// <summary>Set with <see cref="AmqpStep.SaslOutcome"/>.</summary>
    public SaslCode SaslOutcome { get; private set; }

    /// <summary>The host that the peer's open names; null when none.</summary>
    public string? RemoteHostName { get; private set; }

    /// <summary>The peer's id, as it names itself. Anything up to 1 KB.</summary>
    public string RemoteContainerId { get; private set; } = "";

    /// <summary>The peer takes us for dead after so long without a frame; zero for never.</summary>
    public TimeSpan RemoteIdleTimeOut { get; private set; }

    /// <summary>The largest frame that goes out, in bytes.</summary>
    public int OutgoingFrameSize { get; private set; } = 512;

    /// <summary>Both opens are exchanged, and nobody closed.</summary>
    public bool IsOpen => _phase == Phase.Opened;

    public bool IsClosing => _phase is Phase.CloseSent or Phase.Closed;

    /// <summary>Closed at both ends, or before there was an open: nothing comes any more.</summary>
    public bool IsOver => _phase == Phase.Closed;

    /// <summary>Of the step just returned.</summary>
    public AmqpLink? Link { get; private set; }

    /// <summary>Of the step just returned.</summary>
    public AmqpSession? Session { get; private set; }

    /// <summary>What the peer gave as the reason of a detach, end or close; null when nothing. With <see cref="PeerBrokeRules"/>, which rule.</summary>
    public AmqpError? PeerError { get; private set; }

    /// <summary>With <see cref="AmqpStep.Detached"/> and <see cref="AmqpStep.Ended"/>: it was us, because the peer broke a rule of links or sessions.</summary>
    public bool PeerBrokeRules { get; private set; }

    /// <summary>Sessions that are begun.</summary>
    public IReadOnlyList<AmqpSession> Sessions => _begun;

    /// <summary>Links of all sessions whose handles are taken.</summary>
    public int LinkCount { get; internal set; }

    /// <summary>Takes the next thing that has arrived.</summary>
    /// <param name="input">What has arrived; moved behind it.</param>
    /// <param name="delivery">Set with <see cref="AmqpStep.Delivery"/>.</param>
    /// <exception cref="AmqpProtocolException">The peer broke the rules: close with its error, or cut when there is no open yet.</exception>
    public AmqpStep Next(ref ReadOnlySequence<byte> input, out AmqpDelivery delivery)
    {
        delivery = default;
        _outcomesLeft = 0;
        PeerBrokeRules = false;
        GiveBackKept();
        if (_phase == Phase.Closed)
            return AmqpStep.Closed;
        if (_phase is Phase.Header or Phase.AmqpHeader)
            return OnHeader(ref input);
        if (!AmqpFrame.TryRead(ref input, Options.MaxFrameSize, ref _scratch, out var frame))
            return AmqpStep.NeedMore;
        if (_phase == Phase.Sasl)
            return OnSasl(frame);
        if (frame.Type != AmqpFrame.AmqpType)
            throw new AmqpProtocolException(AmqpConditions.FramingError, $"a frame of type {frame.Type}");
        if (frame.Body.IsEmpty)
            return AmqpStep.Handled; // [AMQP-2.4.5]

        var reader = new AmqpReader(frame.Body);
        if (!reader.TryRead(out var value) || !Fields.TryDescribed(value, out var code, out var list))
            throw new AmqpProtocolException(AmqpConditions.DecodeError, "a frame that holds no performative");

        return OnPerformative(frame.Channel, code, list, frame.Body[reader.Consumed..], out delivery);
    }

    /// <summary>Gives rented buffers back between reads: an idle connection holds none.</summary>
    public void ReleaseBuffers()
    {
        GiveBackKept();
        if (_scratch is null)
            return;

        ArrayPool<byte>.Shared.Return(_scratch);
        _scratch = null;
    }

    /// <summary>Takes the next of the outcomes that the peer told with <see cref="AmqpStep.Outcomes"/>.</summary>
    public bool TryTakeOutcome(out AmqpOutcome outcome)
    {
        outcome = default;
        if (_outcomesLeft == 0 || Session is null)
            return false;

        var first = _outcomes.First;
        if (!Session.Outgoing.TryTake(ref first, _outcomes.Last, _outcomes.Settled, out var id, out var link, out var context))
        {
            _outcomesLeft = 0;
            return false;
        }

        _outcomes = _outcomes with { First = first };
        if ((int)(_outcomes.Last - first) < 0)
            _outcomesLeft = 0;
        outcome = new AmqpOutcome(link, id, _outcomes.State, _outcomes.Settled, _outcomes.Error, context);
        return true;
    }

    /// <summary>
    /// Ends all sessions from our side, their links before them; to be followed by <see cref="Close"/>. Node's clients for devices and services
    /// take links and sessions down one by one when they hear of a close, and wait 45 s for answers that nobody gives after a close
    /// [AMQP-2.4.3]; so they get them before.
    /// </summary>
    public void EndSessions(AmqpError? error)
    {
        foreach (var session in _begun)
        {
            foreach (var link in session.Links)
                link.Detach(error);
            session.End(error);
        }
    }

    /// <summary>Closes from our side; what the peer still sends is dropped until its close.</summary>
    public void Close(AmqpError? error)
    {
        if (IsClosing)
            return;

        if (_phase != Phase.Opened)
        {
            // [AMQP-2.4.3] A close needs an open before it; a client has sent its own. Before the headers are exchanged there is nobody to tell.
            if (_phase != Phase.Open)
            {
                _phase = Phase.Closed;
                return;
            }

            if (IsServer)
                WriteOpen(null);
        }

        _phase = Phase.CloseSent;
        WriteClose(error);
        EndAll();
    }

    /// <summary>Server: answers the peer's open.</summary>
    public void AcceptOpen()
    {
        WriteOpen(null);
        _phase = Phase.Opened;
    }

    /// <summary>Server: ends the SASL exchange.</summary>
    public void AnswerSasl(SaslCode code)
    {
        Span<byte> bytes = stackalloc byte[64];
        var writer = new AmqpWriter(bytes[AmqpFrame.HeaderLength..]);
        Sasl.WriteOutcome(ref writer, code);
        Send(bytes, writer.Written, AmqpFrame.SaslType, 0);
        _phase = code == SaslCode.Ok ? Phase.AmqpHeader : Phase.Closed;
    }

    /// <summary>Client: sends the first header.</summary>
    /// <param name="sasl">Null for no SASL at all; then header and open go out at once.</param>
    public void Start(SaslInit? sasl, string hostName)
    {
        _hostName = hostName;
        _ownSasl = sasl;
        if (sasl is not null)
        {
            Output.Write(SaslHeader);
            return;
        }

        _phase = Phase.AmqpHeader;
        Output.Write(AmqpHeader);
        WriteOpen(hostName); // [AMQP-2.4.2]
    }

    /// <summary>Client: begins a session; links may be attached once <see cref="AmqpStep.Begun"/> has come.</summary>
    /// <exception cref="InvalidOperationException">The connection is closed, or the peer takes no more sessions.</exception>
    public AmqpSession BeginSession()
    {
        if (IsClosing)
            throw new InvalidOperationException("the connection is closed");

        var channel = 0;
        while (_begun.Exists(session => session.LocalChannel == channel))
            channel++;
        if (channel > _remoteChannelMax) // [AMQP-2.7.1]
            throw new InvalidOperationException($"the peer takes no more than {channel} sessions");

        var session = new AmqpSession(this, (ushort)channel);
        _begun.Add(session);
        WriteBegin(session, remoteChannel: null);
        return session;
    }

    /// <summary>A frame without content, so that the peer sees that we live [AMQP-2.4.5].</summary>
    public void WriteHeartbeat()
    {
        if (_phase != Phase.Opened)
            return;

        Span<byte> bytes = stackalloc byte[AmqpFrame.HeaderLength];
        Send(bytes, 0, AmqpFrame.AmqpType, 0);
    }

    /// <summary>Bytes that are rented for messages that are not whole.</summary>
    internal int PartialBytes { get; set; }

    internal void KeepUntilNext(byte[] rented) => _kept = rented;

    private void GiveBackKept()
    {
        if (_kept is null)
            return;

        ArrayPool<byte>.Shared.Return(_kept);
        _kept = null;
    }

    private void EndAll()
    {
        foreach (var session in _begun)
            session.GoneAll();
        _byRemoteChannel.Clear();
        _lastSession = null;
    }
}
