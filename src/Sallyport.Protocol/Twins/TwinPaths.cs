namespace Sallyport.Protocol.Twins;

/// <summary>Places in a part of a twin, and what differs between two of them. Pure.</summary>
public static class TwinPaths
{
    /// <summary>The object with a value in a place: objects on the way there are made, and take the place of what is none.</summary>
    /// <param name="names">From the root; empty for the whole.</param>
    public static TwinNode With(TwinNode root, ReadOnlySpan<string> names, TwinNode value)
    {
        if (names.IsEmpty)
            return value;

        var inner = root[names[0]] is { IsObject: true } there ? there : TwinNode.Empty;
        return (root.IsObject ? root : TwinNode.Empty).With(names[0], With(inner, names[1..], value));
    }

    /// <summary>The object without what is in a place, nor the objects on the way there that nothing is left in.</summary>
    /// <inheritdoc cref="With" path="/param"/>
    public static TwinNode Without(TwinNode root, ReadOnlySpan<string> names)
    {
        if (names.IsEmpty)
            return TwinNode.Empty;
        if (root[names[0]] is not { } inner)
            return root;
        if (names.Length == 1)
            return root.With(names[0], null);
        if (!inner.IsObject)
            return root;

        var left = Without(inner, names[1..]);
        return ReferenceEquals(left, inner) ? root : root.With(names[0], left.Members.IsEmpty ? null : left);
    }

    /// <summary>The patch that makes <paramref name="after"/> of <paramref name="before"/>; null when they are the same, whatever the order of members.</summary>
    /// <param name="before">An object.</param>
    /// <param name="after">An object without null.</param>
    public static TwinNode? Difference(TwinNode before, TwinNode after)
    {
        var difference = TwinNode.Empty;
        foreach (var (name, value) in after.Members)
        {
            var was = before[name];
            if (was is { IsObject: true } && value.IsObject)
            {
                if (Difference(was, value) is { } inner)
                    difference = difference.With(name, inner);
            }
            else if (was is null || was.IsObject || value.IsObject || !was.Json.SequenceEqual(value.Json))
            {
                difference = difference.With(name, value);
            }
        }

        foreach (var (name, _) in before.Members)
        {
            if (after[name] is null)
                difference = difference.With(name, TwinNode.Null);
        }

        return difference.Members.IsEmpty ? null : difference;
    }
}
