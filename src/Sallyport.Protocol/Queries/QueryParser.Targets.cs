using Sallyport.Protocol.Errors;

namespace Sallyport.Protocol.Queries;

/// <content>Conditions that say which devices or modules something is for, as jobs and configurations have them.</content>
public static partial class QueryParser
{
    /// <summary>
    /// Reads <c>*</c> (all devices), a condition over devices, or <c>FROM devices</c> or <c>FROM devices.modules</c> with a <c>WHERE</c> and one of the two, or
    /// without. The answer is that query with <c>SELECT *</c>.
    /// </summary>
    /// <param name="objection">Of a path: what is expected instead of it; null when it may be in a condition. Without one all paths may.</param>
    /// <exception cref="HubException">400, as <see cref="Parse"/>; positions are those in <paramref name="target"/>.</exception>
    public static Query ParseTarget(string target, Func<QueryPath, string?>? objection = null)
    {
        if (target.Length > MaxLength)
            throw new HubException(HubErrors.ArgumentInvalid, $"the condition has {target.Length} characters; at most {MaxLength} are allowed");

        return new Reading(target).Target(objection);
    }

    private sealed partial class Reading
    {
        private Func<QueryPath, string?>? _objection;

        public Query Target(Func<QueryPath, string?>? objection)
        {
            _objection = objection;
            IReadOnlyList<QueryExpression> conditions = [];
            if (Take("FROM"))
            {
                var at = _token.Start;
                _source = Source();
                if (_source is QuerySource.Jobs)
                    throw QueryFault.At(_query, at, "found 'devices.jobs'; expected devices or devices.modules");
                if (Take("WHERE"))
                    conditions = TakeSymbol("*") ? [] : Conditions();
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
