using Sallyport.Protocol.Amqp;

namespace Sallyport.Heads.Amqp.Nodes;

/// <summary>
/// Who reads which partition in which consumer group. A reader with an epoch has the partition for itself: those with a lower one, or none,
/// are ended when it comes, and do not come in while it is there. Thread-safe.
/// </summary>
internal sealed class PartitionReaders
{
    private readonly Lock _gate = new();
    private readonly Dictionary<(string Group, int Partition), List<ReaderNode>> _readers = [];

    /// <summary>Lets a reader in.</summary>
    /// <param name="stolen">Whom it takes the partition from: to be told, not under a gate.</param>
    /// <returns>Why not; null when it is in.</returns>
    public AmqpError? TryEnter(ReaderNode reader, int most, out IReadOnlyList<ReaderNode> stolen)
    {
        stolen = [];
        lock (_gate)
        {
            var key = KeyOf(reader);
            if (!_readers.TryGetValue(key, out var present))
                _readers.Add(key, present = []);

            var owner = present.Find(other => other.Request.Epoch is not null);
            if (reader.Request.Epoch is not { } epoch)
            {
                if (owner is not null)
                    return new AmqpError(AmqpConditions.LinkStolen, $"a reader with the epoch {owner.Request.Epoch} has the partition in this consumer group");
                if (present.Count >= most)
                    return new AmqpError(AmqpConditions.ResourceLimitExceeded, $"{most} readers have the partition in this consumer group already");
            }
            else
            {
                if (owner?.Request.Epoch > epoch)
                    return new AmqpError(AmqpConditions.LinkStolen, $"a reader with the higher epoch {owner.Request.Epoch} has the partition in this consumer group");
                stolen = [.. present];
                present.Clear();
            }

            present.Add(reader);
            return null;
        }
    }

    public void Leave(ReaderNode reader)
    {
        lock (_gate)
        {
            if (_readers.TryGetValue(KeyOf(reader), out var present) && present.Remove(reader) && present.Count == 0)
                _readers.Remove(KeyOf(reader));
        }
    }

    /// <summary>Ends the readers of a consumer group that is gone.</summary>
    public void EndGroup(string group)
    {
        ReaderNode[] gone;
        lock (_gate)
            gone = [.. _readers.Where(pair => pair.Key.Group.Equals(group, StringComparison.OrdinalIgnoreCase)).SelectMany(pair => pair.Value)];
        foreach (var reader in gone)
            reader.EndGroup();
    }

    private static (string Group, int Partition) KeyOf(ReaderNode reader) => (reader.Request.Group.ToUpperInvariant(), reader.Request.Partition);
}
