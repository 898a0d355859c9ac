using System.Text;

namespace Sallyport.Hub.Telemetry;

/// <summary>A device id in which <c>*</c> stands for any characters, also none (as in <c>az iot hub monitor-events</c>). Case-sensitive. Immutable.</summary>
public sealed class DevicePattern
{
    private readonly byte[] _pattern;

    /// <param name="pattern">At most 128 characters.</param>
    public DevicePattern(string pattern) => _pattern = Encoding.UTF8.GetBytes(pattern);

    public bool Matches(ReadOnlySpan<byte> deviceId)
    {
        // Greedy with one point of return: a later star makes the earlier one settled, so this takes pattern × id steps at most.
        int at = 0, id = 0, star = -1, resume = 0;
        while (id < deviceId.Length)
        {
            if (at < _pattern.Length && _pattern[at] == (byte)'*')
            {
                star = at++;
                resume = id;
            }
            else if (at < _pattern.Length && _pattern[at] == deviceId[id])
            {
                at++;
                id++;
            }
            else if (star >= 0)
            {
                at = star + 1;
                id = ++resume;
            }
            else
            {
                return false;
            }
        }

        while (at < _pattern.Length && _pattern[at] == (byte)'*')
            at++;
        return at == _pattern.Length;
    }

    public override string ToString() => Encoding.UTF8.GetString(_pattern);
}
