using Sallyport.Hub.Access;
using Sallyport.Protocol.Errors;

namespace Sallyport.Heads.Http;

/// <summary>Rights and scopes as requests and answers write them.</summary>
internal static class GrantJson
{
    /// <exception cref="HubException">400: a name is not known.</exception>
    public static Rights RightsOf(string text) =>
        RightsText.TryParse(text, out var rights, out var problem) ? rights : throw new HubException(HubErrors.ArgumentInvalid, problem);

    /// <exception cref="HubException">400: a name is not valid.</exception>
    public static Scope ScopeOf(string[]? devicePrefixes, string[]? deviceTags, string[]? consumerGroups) =>
        Scope.TryCreate(devicePrefixes ?? [], deviceTags ?? [], consumerGroups ?? [], out var scope, out var problem)
            ? scope
            : throw new HubException(HubErrors.ArgumentInvalid, problem);

    /// <summary>As requests give them.</summary>
    public static string[] TagsOf(Scope scope) => [.. scope.DeviceTags.Select(tag => tag.ToString())];
}

/// <summary>One line of advice.</summary>
internal sealed record PolicyAdviceJson(
    string Name, string Granted, string Unused, string Narrower, string[] DevicePrefixes, string[] DeviceTags, string[] ConsumerGroups, DateTime ObservedSince, DateTime? LastUsed)
{
    public static PolicyAdviceJson Of(PolicyAdvice advice) => new(
        advice.Name, RightsText.Format(advice.Granted), RightsText.Format(advice.Unused), RightsText.Format(advice.Narrower),
        [.. advice.Scope.DevicePrefixes], GrantJson.TagsOf(advice.Scope), [.. advice.Scope.ConsumerGroups],
        advice.ObservedSince.UtcDateTime, advice.LastUsed?.UtcDateTime);
}
