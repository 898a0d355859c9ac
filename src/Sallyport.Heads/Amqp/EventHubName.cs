using Sallyport.Protocol.Sas;

namespace Sallyport.Heads.Amqp;

/// <summary>The Event Hub that the hub's built-in endpoint is to Event Hubs clients.</summary>
public static class EventHubName
{
    /// <summary>The <c>EntityPath</c> of connection strings.</summary>
    public const string Value = "events";

    private const int DefaultPort = 5671;

    /// <summary>What Event Hubs clients connect with. A secret.</summary>
    /// <param name="port">Where AMQP over TLS is; said only when it is not the one that clients have built in.</param>
    public static string ConnectionString(string hostName, int port, string policy, string key) =>
        $"Endpoint=sb://{hostName}{(port == DefaultPort ? "" : $":{port}")}/;SharedAccessKeyName={policy};SharedAccessKey={key};EntityPath={Value}";

    /// <summary>Whether the audience of a token is the <c>$management</c> of another Event Hub; its link's address will not say of which.</summary>
    public static bool IsOfAnother(string audience) =>
        CbsAudience.TryRead(audience, out _, out var path)
        && path.Split('/') is [var name, var node]
        && node.Equals("$management", StringComparison.OrdinalIgnoreCase)
        && !name.Equals(Value, StringComparison.OrdinalIgnoreCase);
}
