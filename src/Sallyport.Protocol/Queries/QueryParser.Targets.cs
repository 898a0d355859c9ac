using Sallyport.Protocol.Errors;

namespace Sallyport.Protocol.Queries;

/// <content>Conditions that say which devices or modules something is for, as jobs and configurations have them.</content>
public static partial class QueryParser
{
    /// <summary>
    /// Reads <c>*</c> (all devices), a condition over devices, or <c>FROM devices</c> or <c>FROM devices.modules</c> with a <c>WHERE</c> or without.
    /// The answer is that query with <c>SELECT *</c>.
    /// </summary>
    /// <exception cref="HubException">400, as <see cref="Parse"/>; positions are those in <paramref name="target"/>.</exception>
    public static Query ParseTarget(string target)
    {
        if (target.Length > MaxLength)
            throw new HubException(HubErrors.ArgumentInvalid, $"the condition has {target.Length} characters; at most {MaxLength} are allowed");

        return new Reading(target).Target();
    }

    private sealed partial class Reading
    {
        public Query Target()
        {
            IReadOnlyList<QueryExpression> conditions = [];
            if (Take("FROM"))
            {
                var at = _token.Start;
                _source = Source();
                if (_source is QuerySource.Jobs)
                    throw QueryFault.At(_query, at, "found 'devices.jobs'; expected devices or devices.modules");
                if (Take("WHERE"))
                    conditions = Conditions();
                else if (_token.Kind is not QueryTokenKind.End)
                    throw Wrong("WHERE or the end");
            }
            else if (_token.Kind is QueryTokenKind.End)
            {
                throw Wrong("'*', a condition, or FROM devices.modules");
            }
            else if (!TakeSymbol("*"))
            {
                conditions = Conditions();
            }

            if (_token.Kind is not QueryTokenKind.End)
                throw Wrong(conditions.Count == 0 ? "the end" : "an operator, AND, OR or the end");
            return new Query { Source = _source, Columns = null, Top = null, Conditions = conditions, GroupBy = [], Slots = _slots };
        }
    }
}
