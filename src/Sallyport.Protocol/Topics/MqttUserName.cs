using Sallyport.Protocol.Identities;

namespace Sallyport.Protocol.Topics;

/// <summary>
/// What an IoT Hub device says in the user name of CONNECT: <c>{host}/{device}[/{module}]/?api-version=…&amp;…</c>.
/// The <c>?</c>, the query and every part of it may be missing, in any order; any api-version is taken.
/// </summary>
/// <param name="HostName">As written, without port.</param>
/// <param name="ModelId">Decoded; null when absent.</param>
public readonly record struct MqttUserName(string HostName, string? ModelId)
{
    /// <summary>DTDL's bound on a model id, in characters.</summary>
    public const int MaxModelIdLength = 2048;

    /// <summary>Seven identities of the greatest length, as a gateway names them.</summary>
    public const int MaxAuthChainLength = 2048;

    /// <summary>The <c>auth-chain</c> of a gateway that connects for another (<c>leaf;edge</c>), decoded; null when absent.</summary>
    public string? AuthChain { get; init; }

    /// <summary>Reads a user name that must speak of the same identity as the client id.</summary>
    /// <param name="wrong">What is wrong, in words, when the answer is false.</param>
    public static bool TryRead(string userName, Identity identity, out MqttUserName read, out string wrong)
    {
        read = default;
        wrong = "";
        var slash = userName.IndexOf('/', StringComparison.Ordinal);
        if (slash <= 0)
        {
            wrong = "the user name is not {host}/{client id}/?api-version=…";
            return false;
        }

        var id = identity.ToString();
        var rest = userName.AsSpan(slash + 1);
        if (!rest.StartsWith(id, StringComparison.Ordinal) || (rest.Length > id.Length && rest[id.Length] != '/'))
        {
            wrong = "the user name is of another identity than the client id";
            return false;
        }

        var query = rest.Length > id.Length ? rest[(id.Length + 1)..] : default;
        if (query is ['?', ..])
        {
            query = query[1..];
        }
        else if (!query.IsEmpty && query.IndexOfAny('/', '=') is var mark && (mark < 0 || query[mark] == '/'))
        {
            wrong = "the user name is of another identity than the client id";
            return false;
        }

        string? modelId = null, authChain = null;
        foreach (var range in query.Split('&'))
        {
            var pair = query[range];
            if (pair.StartsWith("model-id=", StringComparison.Ordinal))
                modelId = Uri.UnescapeDataString(pair["model-id=".Length..]);
            else if (pair.StartsWith("auth-chain=", StringComparison.Ordinal))
                authChain = Uri.UnescapeDataString(pair["auth-chain=".Length..]);
        }

        if (modelId is { Length: > MaxModelIdLength })
        {
            wrong = $"the model id is longer than {MaxModelIdLength} characters";
            return false;
        }

        if (authChain is { Length: > MaxAuthChainLength })
        {
            wrong = $"the auth-chain is longer than {MaxAuthChainLength} characters";
            return false;
        }

        read = new MqttUserName(HostOnly(userName[..slash]), string.IsNullOrEmpty(modelId) ? null : modelId) { AuthChain = string.IsNullOrEmpty(authChain) ? null : authChain };
        return true;
    }

    private static string HostOnly(string host)
    {
        var colon = host.LastIndexOf(':');
        return colon > 0 && host.AsSpan(colon + 1).IndexOfAnyExceptInRange('0', '9') < 0 ? host[..colon] : host;
    }
}
