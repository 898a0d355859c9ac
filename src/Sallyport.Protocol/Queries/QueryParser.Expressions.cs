namespace Sallyport.Protocol.Queries;

public static partial class QueryParser
{
    // Conditions: OR, AND, NOT, comparisons, sums, products, operands, a method each, in the order of their precedence.
    private sealed partial class Reading
    {
        private int _depth;

        private QueryExpression Or() => Chain("OR", isAnd: false);

        private QueryExpression Chain(string word, bool isAnd)
        {
            List<QueryExpression> parts = [isAnd ? Not() : Chain("AND", isAnd: true)];
            while (Take(word))
                parts.Add(isAnd ? Not() : Chain("AND", isAnd: true));
            return parts.Count == 1 ? parts[0] : Bounded(new LogicalExpression(isAnd, parts));
        }

        private QueryExpression Not()
        {
            if (!_token.IsKeyword("NOT"))
                return Comparison();

            Enter();
            Advance();
            var negated = Bounded(new NotExpression(Not()));
            _depth--;
            return negated;
        }

        private QueryExpression Comparison()
        {
            var left = Sum();
            if (_token.Kind is QueryTokenKind.Symbol && _token.Value is "=" or "!=" or "<>" or "<" or "<=" or ">" or ">=")
            {
                var symbol = _token.Value;
                Advance();
                return Bounded(new ComparisonExpression(symbol, left, Sum()));
            }

            var isNegated = _token.IsKeyword("NIN");
            if (!isNegated && !_token.IsKeyword("IN"))
                return left;

            Advance();
            return Bounded(new MembershipExpression(left, List(), isNegated));
        }

        private List<QueryValue> List()
        {
            List<QueryValue> list = [];
            ExpectSymbol("[");
            do
            {
                var isNegative = TakeSymbol("-");
                var value = Constant() ?? throw Wrong("a constant");
                if (isNegative && value.Kind is not QueryKind.Number)
                    throw Wrong("a number behind '-'");
                list.Add(isNegative ? QueryValue.Of(-value.Number) : value);
                Advance();
            }
            while (TakeSymbol(","));
            ExpectSymbol("]");
            return list;
        }

        private QueryExpression Sum()
        {
            var left = Product();
            while (_token.Kind is QueryTokenKind.Symbol && _token.Value is "+" or "-")
                left = Arithmetic(left, isProduct: false);
            return left;
        }

        private QueryExpression Product()
        {
            var left = Negation();
            while (_token.Kind is QueryTokenKind.Symbol && _token.Value is "*" or "/" or "%")
                left = Arithmetic(left, isProduct: true);
            return left;
        }

        private QueryExpression Arithmetic(QueryExpression left, bool isProduct)
        {
            var symbol = _token.Value[0];
            Advance();
            return Bounded(new ArithmeticExpression(symbol, left, isProduct ? Negation() : Product()));
        }

        private QueryExpression Negation()
        {
            if (!_token.IsSymbol("-"))
                return Operand();

            Enter();
            Advance();
            var negated = Bounded(new ArithmeticExpression('-', new ConstantExpression(QueryValue.Of(0)), Negation()));
            _depth--;
            return negated;
        }

        private QueryExpression Operand()
        {
            if (Constant() is { } value)
            {
                Advance();
                return new ConstantExpression(value);
            }

            if (_token.IsSymbol("["))
                throw Wrong("a path, a constant, a function or '(': a list stands behind IN or NIN");
            if (!_token.IsSymbol("("))
                return PathOrCall();

            Enter();
            Advance();
            var inner = Or();
            ExpectSymbol(")");
            _depth--;
            return inner;
        }

        private QueryExpression PathOrCall()
        {
            var first = _token;
            var names = Names("a path, a constant, a function or '('");
            if (names.Count > 1 || first.Kind is QueryTokenKind.QuotedName || !_token.IsSymbol("("))
                return new PathExpression(Slot(QueryPathNames.Resolve(_query, _source, names), first.Start));

            var function = QueryFunctions.Find(first.Value) ?? throw QueryFault.At(_query, first.Start, $"found {first.Printed}; expected one of the functions {QueryFunctions.Names}");
            Enter();
            Advance();
            List<QueryExpression> arguments = [];
            if (!_token.IsSymbol(")"))
            {
                do
                    arguments.Add(Or());
                while (TakeSymbol(","));
            }

            if (arguments.Count < function.MinArguments || arguments.Count > function.MaxArguments)
            {
                var needed = function.MinArguments == function.MaxArguments ? $"{function.MinArguments}" : function.MaxArguments == int.MaxValue ? $"{function.MinArguments} or more" : $"{function.MinArguments} or {function.MaxArguments}";
                throw QueryFault.At(_query, first.Start, $"found {arguments.Count} arguments of {function.Name}; expected {needed}");
            }

            ExpectSymbol(")");
            _depth--;
            return Bounded(new CallExpression(function, arguments));
        }

        private QueryValue? Constant() => _token.Kind switch
        {
            QueryTokenKind.Text => QueryValue.Of(_token.Value),
            QueryTokenKind.Number => QueryValue.Of(_token.Number),
            _ when _token.IsKeyword("true") => QueryValue.Of(true),
            _ when _token.IsKeyword("false") => QueryValue.Of(false),
            _ when _token.IsKeyword("null") => QueryValue.Null,
            _ when _token.IsKeyword("undefined") => QueryValue.Undefined,
            _ => null,
        };

        private void Enter()
        {
            if (++_depth > MaxDepth)
                throw QueryFault.At(_query, _token.Start, $"more than {MaxDepth} parentheses, calls or operators inside one another");
        }

        private QueryExpression Bounded(QueryExpression expression) =>
            expression.Depth <= MaxDepth ? expression : throw QueryFault.At(_query, _token.Start, $"more than {MaxDepth} parentheses, calls or operators inside one another");
    }
}
