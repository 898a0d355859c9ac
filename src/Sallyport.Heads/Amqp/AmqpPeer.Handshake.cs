using System.Text;
using Sallyport.Hub.Limits;
using Sallyport.Protocol.Amqp.Performatives;

namespace Sallyport.Heads.Amqp;

/// <content>SASL and open. SASL lets nobody in by itself but PLAIN: who it is, tokens and certificates say when links are attached.</content>
internal sealed partial class AmqpPeer
{
    private readonly Surroundings _surroundings;

    // Somebody was let in; what the connection may hold is the ordinary.
    private volatile bool _isAdmitted;

    // In the order of preference of clients that take the first they know (Event Hubs: ANONYMOUS; IoT Hub's C and Python: MSSBCBS).
    private static string[] MechanismsOf(Surroundings surroundings) => surroundings switch
    {
        { IsEncrypted: false } => ["ANONYMOUS", "MSSBCBS"],
        { Certificate: null } => ["MSSBCBS", "ANONYMOUS", "PLAIN"],
        _ => ["MSSBCBS", "ANONYMOUS", "PLAIN", "EXTERNAL"],
    };

    private string HostName => Endpoint.RemoteHostName is { Length: > 0 } named ? WithoutPort(named) : Head.Hub.Names.Primary;

    private async ValueTask OnSaslAsync()
    {
        var init = Endpoint.SaslInit!;
        var code = init.Mechanism switch
        {
            "ANONYMOUS" or "MSSBCBS" => SaslCode.Ok,
            "EXTERNAL" when _surroundings.Certificate is not null => SaslCode.Ok,
            "PLAIN" when _surroundings.IsEncrypted => await OnPlainAsync(init.Response).ConfigureAwait(false),
            _ => RefusedMechanism(init.Mechanism),
        };
        lock (Gate)
            Endpoint.AnswerSasl(code);
        if (code != SaslCode.Ok)
            _lease.Answered();
        Schedule();
    }

    // RFC 4616: authorization id, NUL, user, NUL, password.
    private async ValueTask<SaslCode> OnPlainAsync(byte[] response)
    {
        var user = Array.IndexOf(response, (byte)0);
        var password = user < 0 ? -1 : Array.IndexOf(response, (byte)0, user + 1);
        if (password < 0)
        {
            _tokens.RefuseSasl("the SASL PLAIN response is not an authorization id, a user name and a password", Peer);
            return SaslCode.Auth;
        }

        var admission = await _tokens.PutPlainAsync(
            Encoding.UTF8.GetString(response, 0, user),
            Encoding.UTF8.GetString(response, user + 1, password - user - 1),
            Encoding.UTF8.GetString(response, password + 1, response.Length - password - 1),
            Head.Hub.Names.Primary, Peer, _closed).ConfigureAwait(false);
        if (!admission.IsAdmitted)
            return SaslCode.Auth;

        await AdmittedAsync().ConfigureAwait(false);
        return SaslCode.Ok;
    }

    private SaslCode RefusedMechanism(string mechanism)
    {
        // What a stranger sends does not go into the log as it is.
        var named = mechanism.Length > 0 && mechanism.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_') ? $"the SASL mechanism {mechanism}" : "a SASL mechanism whose name is none";
        _tokens.RefuseSasl(mechanism == "EXTERNAL" ? $"{named} was asked for without a certificate" : $"{named} is not offered here", Peer);
        return SaslCode.Auth;
    }

    private ValueTask OnOpened()
    {
        lock (Gate)
        {
            Endpoint.AcceptOpen();
            NoteUse();
        }

        return ValueTask.CompletedTask;
    }

    // The first credential that is accepted.
    private async ValueTask AdmittedAsync()
    {
        if (_isAdmitted)
            return;

        lock (Gate)
        {
            Endpoint.MaxSessions = int.MaxValue;
            Endpoint.MaxLinks = int.MaxValue;
            _isAdmitted = true;
            NoteUse();
        }

        _lease.Dispose();
        await HandshakeThreads.Leave();
    }

    private static string WithoutPort(string host)
    {
        var colon = host.LastIndexOf(':');
        return colon > 0 && host.AsSpan(colon + 1).IndexOfAnyExceptInRange('0', '9') < 0 ? host[..colon] : host;
    }
}
