#!/bin/sh
# Lists which clauses of a standard are honoured: clause, where in the code, where in the tests. Tab-separated; a dash means nowhere.
# Usage: docs/protocols/clauses.sh MQTT|AMQP[-CLAUSE]      for example: docs/protocols/clauses.sh MQTT-3.1.0-1
cd "$(dirname "$0")/../.." || exit 1
case ${1:-} in MQTT* | AMQP*) wanted=$1 ;; *) sed -n '3s/^# //p' "$0" >&2; exit 2 ;; esac
places() {
    grep -rnoE --include='*.cs' "\[${wanted%%-*}-[0-9]+(\.[0-9]+)*(-[0-9]+)?\]" "$1" | sed -E "s/^([^:]*):([0-9]+):\[(.*)\]$/\3\t$2\t\1:\2/"
}
{ places src code; places tests test; } | sort -u | awk -F '\t' -v wanted="$wanted" '
    { if (!($1 in seen)) { seen[$1] = 1; order[++count] = $1 }
      at[$1, $2] = at[$1, $2] (at[$1, $2] == "" ? "" : " ") $3 }
    END {
        for (i = 1; i <= count; i++) {
            clause = order[i]
            if (wanted ~ /-/ && clause != wanted) continue
            print clause "\t" (at[clause, "code"] == "" ? "-" : at[clause, "code"]) "\t" (at[clause, "test"] == "" ? "-" : at[clause, "test"])
        }
    }' | sort -V
