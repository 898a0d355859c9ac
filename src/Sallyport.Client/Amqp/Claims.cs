using System.Globalization;
using Sallyport.Client.Access;
using Sallyport.Protocol.Amqp;
using Sallyport.Protocol.Amqp.Endpoints;
using Sallyport.Protocol.Amqp.Messages;

namespace Sallyport.Client.Amqp;

/// <summary>
/// The token of one connection, put to <c>$cbs</c> (AMQP Claims-based Security, 4.1) and put anew when 15 % of its life is left, while links stay as
/// they are. Used by the loop that owns the connection.
/// </summary>
/// <param name="audience">What the token is for, for example <c>hub.example.org/devices/d1</c>.</param>
internal sealed class Claims(AmqpSession session, TokenSource tokens, string audience, TimeProvider time)
{
    private readonly RequestLinks _cbs = new(session, "$cbs");
    private long _renewAt = long.MaxValue;

    /// <summary>The hub has accepted a token.</summary>
    public bool IsAccepted { get; private set; }

    public bool Has(AmqpLink? link) => _cbs.Has(link);

    public void On(AmqpStep step, in AmqpDelivery delivery) => _cbs.On(step, delivery);

    public void Pump() => _cbs.Pump();

    /// <summary>Puts a token. <see cref="AmqpRefusedException"/> is thrown in the round that brings the first refusal, <see cref="IOException"/> for a later one.</summary>
    public void Put()
    {
        var token = tokens.Current();
        _renewAt = long.MaxValue;
        _cbs.Ask(new RequestMessage { EncodedId = [], Operation = "put-token", Type = "servicebus.windows.net:sastoken", Name = audience, Text = token }, OnAnswer);
    }

    public void RenewWhenDue()
    {
        if (time.GetTimestamp() >= _renewAt)
            Put();
    }

    private void OnAnswer(int status, string description, AmqpValue body)
    {
        if (status is >= 200 and < 300)
        {
            IsAccepted = true;
            _renewAt = time.GetTimestamp() + (long)(tokens.UntilRenewal.TotalSeconds * time.TimestampFrequency);
            return;
        }

        var text = string.Create(CultureInfo.InvariantCulture, $"the hub refused the token: {description} ({status})");

        // Whoever was let in comes again first: what it gets then is the answer that counts.
        throw IsAccepted || status is 408 or 429 or >= 500
            ? new IOException(text)
            : new AmqpRefusedException(status == 404 ? AmqpConditions.NotFound : AmqpConditions.UnauthorizedAccess, text);
    }
}
