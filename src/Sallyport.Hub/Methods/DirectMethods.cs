using System.Buffers.Text;
using System.Runtime.InteropServices;
using Sallyport.Hub.Access;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Devices;
using Sallyport.Hub.Physical;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;

namespace Sallyport.Hub.Methods;

/// <summary>
/// Calls direct methods of devices and modules: waits for a device that does not take them now, sends the request once, and waits for its
/// answer. Nothing is stored; a call lives as long as its caller waits. Thread-safe; refuses with <see cref="HubException"/>.
/// </summary>
/// <remarks>
/// Its lock guards what is under way and is never held while a link is called: a link may take its own lock, under which it hands answers in.
/// </remarks>
public sealed class DirectMethods : IDisposable
{
    private static readonly byte[] Null = "null"u8.ToArray();

    private readonly ConnectedDevices _connected;
    private readonly IdentityCache _identities;
    private readonly QuarantineLine _quarantine;
    private readonly PrivilegedReads _trail;
    private readonly TimeProvider _time;
    private readonly MethodOptions _options;
    private readonly Lock _gate = new();
    private readonly Dictionary<Guid, PendingCall> _calls = [];
    private readonly Dictionary<Identity, List<PendingCall>> _byIdentity = [];
    private long _bytes;

    public DirectMethods(
        ConnectedDevices connected, IdentityCache identities, QuarantineLine quarantine, PrivilegedReads trail, TimeProvider time, MethodOptions? options = null)
    {
        _connected = connected;
        _identities = identities;
        _quarantine = quarantine;
        _trail = trail;
        _time = time;
        _options = options ?? new MethodOptions();
        connected.LinkChanged += OnLinkChanged;
        connected.LinkEnded += OnLinkEnded;
    }

    /// <summary>Calls that are under way.</summary>
    public int Pending
    {
        get
        {
            lock (_gate)
                return _calls.Count;
        }
    }

    /// <summary>Calls a method and gives what the device answers, whatever its status.</summary>
    /// <param name="actor">Who calls: durable in the audit trail the first time in a minute, then counted.</param>
    /// <param name="cancel">The caller does not wait any more; the device may run the method all the same.</param>
    /// <exception cref="HubException">
    /// 400, 413: see <see cref="MethodRules"/>. 404001, 404010: there is no such device or module. 404103: it did not take methods in time, or is
    /// in quarantine; nothing was sent. 429001: too many calls are under way, or the device does not read what it is sent. 502001: what it
    /// answered is no answer. 504101: it did not answer in time, or went before it did; it may have run the method. 503001: the audit trail cannot be written.
    /// </exception>
    public async Task<MethodResult> InvokeAsync(Actor actor, MethodCall call, CancellationToken cancel)
    {
        MethodRules.Check(call);
        if (_identities.Find(call.Identity) is null)
            throw new HubException(call.Identity.IsModule ? HubErrors.ModuleNotFound : HubErrors.DeviceNotFound, $"there is no {KindOf(call.Identity)} {call.Identity}");

        await _trail.RecordAsync(actor, "method invoke", $"{call.Identity} {call.Name}", cancel).ConfigureAwait(false);
        var pending = Enter(call);
        try
        {
            await SendAsync(pending, cancel).ConfigureAwait(false);
            var result = await AnswerAsync(pending, cancel).ConfigureAwait(false);
            MethodsMeter.Answered(call.Payload.Length, result.Payload.Length);
            return result;
        }
        catch (HubException refusal)
        {
            MethodsMeter.Unanswered(refusal.Error.Code);
            throw;
        }
        finally
        {
            Leave(pending);
        }
    }

    /// <summary>Takes an answer; see <see cref="DeviceSession.AnswerMethod"/>. The first one counts.</summary>
    internal void Answer(Identity identity, ReadOnlySpan<byte> requestId, int? status, ReadOnlySpan<byte> payload)
    {
        if (!TryReadId(requestId, out var id))
            return;

        PendingCall? pending;
        lock (_gate)
        {
            if (!_calls.TryGetValue(id, out pending) || pending.Call.Identity != identity || pending.Link is null)
                return;
        }

        if (status is not { } number)
            Fail(pending, HubErrors.BadDeviceResponse, "the device answered without a status that is a number");
        else if (payload.Length > MethodRules.MaxPayloadBytes)
            Fail(pending, HubErrors.BadDeviceResponse, $"the device answered {payload.Length} bytes, of at most {MethodRules.MaxPayloadBytes}");
        else if (!payload.IsEmpty && !MethodRules.IsJson(payload))
            Fail(pending, HubErrors.BadDeviceResponse, "the device answered something that is not JSON");
        else
            pending.Answer.TrySetResult(new MethodResult(number, payload.IsEmpty ? Null : payload.ToArray()));
    }

    public void Dispose()
    {
        _connected.LinkChanged -= OnLinkChanged;
        _connected.LinkEnded -= OnLinkEnded;
    }

    private async Task SendAsync(PendingCall pending, CancellationToken cancel)
    {
        var call = pending.Call;
        var began = _time.GetTimestamp();
        while (true)
        {
            Task changed;
            lock (_gate)
            {
                pending.Arm(); // Before anything is looked at: what changes from here on is told.
                changed = pending.Changed;
            }

            if (_quarantine.Holds(call.Identity.DeviceId))
                throw new HubException(HubErrors.DeviceNotOnline, $"{Named(call.Identity)} is in quarantine: nothing is sent to it");
            if (_connected.Find(call.Identity) is { TakesMethods: true } link && TrySend(pending, link))
                return;

            var left = call.ConnectTimeout - _time.GetElapsedTime(began);
            try
            {
                await changed.WaitAsync(left > TimeSpan.Zero ? left : TimeSpan.Zero, _time, cancel).ConfigureAwait(false);
            }
            catch (TimeoutException)
            {
                throw new HubException(HubErrors.DeviceNotOnline, $"{Named(call.Identity)} is not connected, or does not take methods: waited {call.ConnectTimeout.TotalSeconds:0} s");
            }
        }
    }

    // False: the link went or does not take it any more, and nothing was sent.
    private bool TrySend(PendingCall pending, IDeviceLink link)
    {
        lock (_gate)
            pending.Link = link;

        if (!link.TrySend(pending.Request))
        {
            lock (_gate)
                pending.Link = null;
            if (link.TakesMethods)
                throw new HubException(HubErrors.Throttled, $"{Named(pending.Call.Identity)} does not read what it is sent") { RetryAfter = TimeSpan.FromSeconds(1) };
            return false;
        }

        // Had the link ended before it was noted down, nobody would have told.
        if (!ReferenceEquals(_connected.Find(pending.Call.Identity), link))
            FailGone(pending);
        return true;
    }

    private async Task<MethodResult> AnswerAsync(PendingCall pending, CancellationToken cancel)
    {
        try
        {
            return await pending.Answer.Task.WaitAsync(pending.Call.ResponseTimeout, _time, cancel).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            throw new HubException(HubErrors.GatewayTimeout, $"{Named(pending.Call.Identity)} did not answer within {pending.Call.ResponseTimeout.TotalSeconds:0} s");
        }
    }

    private PendingCall Enter(MethodCall call)
    {
        var pending = new PendingCall(call);
        lock (_gate)
        {
            var own = _byIdentity.GetValueOrDefault(call.Identity);
            if (_calls.Count >= _options.MaxPending || own?.Count >= _options.MaxPendingPerDevice || _bytes + call.Payload.Length > _options.MaxPendingBytes)
            {
                MethodsMeter.Unanswered(HubErrors.Throttled.Code);
                throw new HubException(HubErrors.Throttled, "too many calls of methods are under way, of this device or of all") { RetryAfter = TimeSpan.FromSeconds(1) };
            }

            if (own is null)
                _byIdentity[call.Identity] = own = [];
            own.Add(pending);
            _calls.Add(pending.Request.Id, pending);
            _bytes += call.Payload.Length;
        }

        return pending;
    }

    private void Leave(PendingCall pending)
    {
        lock (_gate)
        {
            _calls.Remove(pending.Request.Id);
            _bytes -= pending.Call.Payload.Length;
            var own = _byIdentity[pending.Call.Identity];
            own.Remove(pending);
            if (own.Count == 0)
                _byIdentity.Remove(pending.Call.Identity);
        }
    }

    private void OnLinkChanged(IDeviceLink link)
    {
        lock (_gate)
        {
            foreach (var pending in Of(link.Identity))
                pending.TellChanged();
        }
    }

    private void OnLinkEnded(IDeviceLink link)
    {
        lock (_gate)
        {
            foreach (var pending in Of(link.Identity))
            {
                if (ReferenceEquals(pending.Link, link))
                    FailGone(pending);
            }
        }
    }

    // Under the lock.
    private ReadOnlySpan<PendingCall> Of(Identity identity) =>
        _byIdentity.TryGetValue(identity, out var calls) ? CollectionsMarshal.AsSpan(calls) : default;

    private static void FailGone(PendingCall pending) =>
        Fail(pending, HubErrors.GatewayTimeout, $"{Named(pending.Call.Identity)} went before it answered; it may have run the method");

    private static void Fail(PendingCall pending, HubError error, string message) => pending.Answer.TrySetException(new HubException(error, message));

    private static string Named(Identity identity) => $"the {KindOf(identity)} {identity}";

    private static string KindOf(Identity identity) => identity.IsModule ? "module" : "device";

    private static bool TryReadId(ReadOnlySpan<byte> text, out Guid id) =>
        (Utf8Parser.TryParse(text, out id, out var consumed, 'N') && consumed == text.Length)
        || (Utf8Parser.TryParse(text, out id, out consumed, 'D') && consumed == text.Length);
}
