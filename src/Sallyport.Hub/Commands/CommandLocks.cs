using Sallyport.Protocol.Identities;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Commands;

/// <summary>A command that was given to somebody, and until when it is theirs. <see cref="IsSettling"/> is guarded by its stripe.</summary>
/// <param name="command">Without its message.</param>
/// <param name="holder">Who has it; null for one who may go unnoticed (HTTP).</param>
/// <param name="until">In timestamps of the clock.</param>
/// <param name="isTimed">False: it is the holder's until the holder goes.</param>
internal sealed class CommandLock(CommandRecord command, object? holder, long until, bool isTimed)
{
    public Guid Token { get; } = Guid.NewGuid();

    public CommandRecord Command { get; } = command;

    public object? Holder { get; } = holder;

    public long Until { get; } = until;

    public bool IsTimed { get; } = isTimed;

    /// <summary>What was decided is on its way to the disk: until then nobody else gets it.</summary>
    public bool IsSettling { get; set; }

    public bool HasEnded(long now) => IsTimed && !IsSettling && now >= Until;
}

/// <summary>
/// Which commands are locked, in memory only: a hub that starts anew has none. Striped by identity; a stripe's gate is held over the read that
/// looks for the next command, so that one that was just settled is never found unlocked.
/// </summary>
internal sealed class CommandLocks
{
    private const int Stripes = 64;

    private readonly Stripe[] _stripes = [.. Enumerable.Range(0, Stripes).Select(_ => new Stripe())];

    public IReadOnlyList<Stripe> All => _stripes;

    public Stripe Of(Identity identity) => _stripes[identity.GetHashCode() & (Stripes - 1)];

    internal sealed class Stripe
    {
        public Lock Gate { get; } = new();

        /// <summary>Under the gate.</summary>
        public Dictionary<Identity, OfIdentity> Locks { get; } = [];

        /// <summary>Under the gate.</summary>
        public OfIdentity For(Identity identity)
        {
            if (!Locks.TryGetValue(identity, out var locks))
                Locks.Add(identity, locks = new OfIdentity());
            return locks;
        }

        /// <summary>Forgets an identity of which there is nothing to remember; under the gate.</summary>
        public void Tidy(Identity identity)
        {
            if (Locks.TryGetValue(identity, out var locks) && locks.IsEmpty)
                Locks.Remove(identity);
        }
    }

    /// <summary>Under the gate of its stripe. Bounded by what may wait for one identity.</summary>
    internal sealed class OfIdentity
    {
        private readonly Dictionary<long, CommandLock> _bySequence = [];
        private readonly Dictionary<Guid, CommandLock> _byToken = [];

        // Given to somebody before, and not settled: the next one is told that it may be a double.
        private readonly HashSet<long> _given = [];

        public bool IsEmpty => _bySequence.Count + _given.Count == 0;

        public int Count => _bySequence.Count;

        /// <summary>What was given to somebody and waits again.</summary>
        public IEnumerable<long> GivenBefore => _given.Where(sequence => !_bySequence.ContainsKey(sequence));

        public IEnumerable<CommandLock> All => _bySequence.Values;

        public CommandLock? Of(long sequence) => _bySequence.GetValueOrDefault(sequence);

        public CommandLock? Of(Guid token) => _byToken.GetValueOrDefault(token);

        /// <returns>Whether it was given to somebody before.</returns>
        public bool Add(CommandLock held)
        {
            Remove(held.Command.Sequence);
            _bySequence[held.Command.Sequence] = held;
            _byToken[held.Token] = held;
            return !_given.Add(held.Command.Sequence);
        }

        /// <summary>It waits again.</summary>
        public void Remove(long sequence)
        {
            if (_bySequence.Remove(sequence, out var held))
                _byToken.Remove(held.Token);
        }

        /// <summary>It is gone from the queue.</summary>
        public void Forget(long sequence)
        {
            Remove(sequence);
            _given.Remove(sequence);
        }
    }
}
