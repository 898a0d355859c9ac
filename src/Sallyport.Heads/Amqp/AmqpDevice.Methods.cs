using Sallyport.Heads.Amqp.Nodes;
using Sallyport.Hub.Methods;

namespace Sallyport.Heads.Amqp;

/// <content>Direct methods: taken while both links are attached, as far as the device gave credit.</content>
internal sealed partial class AmqpDevice
{
    /// <summary>Under the gate.</summary>
    public MethodRequestNode? MethodRequests { get; set; }

    /// <summary>Under the gate.</summary>
    public MethodResponseNode? MethodResponses { get; set; }

    public bool TakesMethods
    {
        get
        {
            lock (_connection.Gate)
                return TakesMethodsNow;
        }
    }

    public bool TrySend(MethodRequest request)
    {
        lock (_connection.Gate)
        {
            if (!TakesMethodsNow || !MethodRequests!.TrySend(request))
                return false;
        }

        _connection.Schedule();
        return true;
    }

    private bool TakesMethodsNow => !IsGone && MethodResponses is not null && MethodRequests is { HasCredit: true };
}
