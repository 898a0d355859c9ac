using System.Text.Json.Nodes;

namespace Sallyport.Heads.Http;

/// <summary>What the process was configured with; the executable, which read it, answers. Thread-safe.</summary>
public interface ISettingsInForce
{
    /// <summary>Every setting with the value in force, by section and name as in <c>sallyport.json</c>. Never a secret. A new object at each call.</summary>
    JsonObject Describe();
}
