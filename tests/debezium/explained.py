"""Every difference between our records and Debezium's that is meant, and why.

`docs/debezium-compatibility.md` holds the table that `as_table` prints; tests hold both to what two engines really say.
"""

import inspect
import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Explanation:
    """`where`: a regular expression over `topic[record].part.path`, schema or payload; `modes`: empty is all."""

    title: str
    where: str
    theirs: str
    ours: str
    why: str
    modes: tuple[str, ...] = ()

    def covers(self, difference):
        return (not self.modes or difference.mode in self.modes) and re.search(self.where, difference.path) is not None


EXPLANATIONS = (
    Explanation(
        "time of processing",
        r"\.value\.(payload\.)?ts_(ms|us|ns)$",
        "when the connector handled the event",
        "the same, or the commit's time when none is given",
        "two processes, two moments",
    ),
    Explanation(
        "position",
        r"\.source\.(lsn|sequence)$",
        "`source.lsn` is the record's own place in the log, which several rows of one statement may share",
        "the place of the transaction's commit, for all its rows",
        "positions here are commits; order within one is `transaction.total_order`",
    ),
    Explanation(
        "transaction id",
        r"(transaction\.id|^transaction\[.*\.id)$",
        "`xid:lsn` with the lsn of each event, so it changes within a transaction",
        "`xid:commit lsn`, one and the same from BEGIN to END",
        "an id that differs between the events of one transaction cannot group them",
    ),
    Explanation(
        "messages among collections",
        r"^transaction\[.*\.data_collections$",
        "a Java object's name with its memory address",
        "`message`",
        "theirs differs from run to run; the order of the list means nothing",
    ),
    Explanation(
        "time of a message outside transactions",
        r"^message\[.*\.source\.ts_(ms|us|ns)$",
        "the commit time of the transaction before it",
        "when the server sent it",
        "such a message has no commit time; theirs belongs to something else",
    ),
    Explanation(
        "what a delete does not know",
        r"^public\.\w+\[.*\.before\.\w+$",
        "column defaults, zeros and empty strings for columns that the server did not send",
        "null",
        "under replica identity default only the key is sent; a made-up value looks like a real one",
    ),
    Explanation(
        "optional columns",
        r"\.schema\..*\.(optional)$",
        "NOT NULL columns are required, and elements of enum, tsvector and unknown arrays too",
        "only key columns are required",
        "a delete may carry the key alone, and array elements may be null",
    ),
    Explanation(
        "null in a column with a default",
        r"^public\.dflt\[1:u\]\.value\..*after\.\w+$",
        "the default: Kafka's JSON converter writes it for null unless `replace.null.with.default=false`",
        "null",
        "a default looks like a value; the reader here doubts it",
    ),
    Explanation(
        "defaults that are expressions",
        r"\.schema\..*\.(t_cat|t_user|t_case|t_cast|t_arr|b_not|b_cmp|d_sum)\.default$",
        "the first literal in the expression, or its own words; false for any boolean one",
        "none; an empty text for CURRENT_USER, as for other functions",
        "the server would insert another value",
    ),
    Explanation(
        "infinite and late defaults",
        r"\.schema\..*\.(d_inf|ts_inf|tz_inf|tm_24)\.default$",
        "an overflowed number or none; the last moment of the day for 24:00",
        "none, and the text where it is one; 24:00 as in rows",
        "a default has the form that the value has in rows, or none",
    ),
    Explanation(
        "quotes in defaults of enums",
        r"\.schema\..*\.e_odd\.default$",
        "doubled, as SQL writes them",
        "the label",
        "it would be none of the allowed values",
    ),
    Explanation(
        "numeric with a negative scale",
        r"\.c_num_neg(\.parameters\.scale)?$",
        "scale 2046 and as many zeros",
        "the scale as declared, and the number",
        "theirs reads the modifier without its sign",
    ),
    Explanation(
        "scale of unconstrained numerics",
        r"\.(c_num|a_num)(\.scale|\.value)?$",
        "trailing zeros are dropped; NaN in an array makes the array null",
        "the source's own scale; null for the NaN alone",
        "the same number, exactly as the source shows it",
        modes=("defaults", "iso", "nanos", "micros"),
    ),
    Explanation(
        "NaN and infinities as text",
        r"\.(c_num|c_num102|a_num)$",
        "`NAN`, `POSITIVE_INFINITY`, `NEGATIVE_INFINITY`; an array with one is null",
        "`NaN`, `Infinity`, `-Infinity`, also in arrays",
        "PostgreSQL's own words, which it reads back; the reader here knows both",
        modes=("strings", "doubles"),
    ),
    Explanation(
        "geometric types as bytes",
        r"\.c_(line|lseg|box|path|polygon|circle)$",
        "the text that the JDBC driver makes of them, numbers with `.0`",
        "the text that PostgreSQL makes of them",
        "no driver is in between",
    ),
    Explanation(
        "arrays that Debezium has no form for",
        r"\.a_(name|varbit|interval|xml|point|money|bit)(\.|$)",
        "left out, even when unknown types are included; arrays of `bit` are null",
        "arrays of the element's form",
        "nothing is dropped silently",
    ),
    Explanation(
        "fractions in arrays of times",
        r"\.a_(time|timetz)$",
        "cut to milliseconds, or to seconds",
        "all six digits",
        "nothing is dropped silently",
    ),
    Explanation(
        "infinity in arrays of dates",
        r"\.a_date$",
        "another extreme number than that of a plain date",
        "the same as that of a plain date",
        "so that a reader can tell",
    ),
    Explanation(
        "arrays of enums and domains",
        r"\.a_(mood|posint)(\.|$)",
        "an enum array with a null is null; elements of a domain are bytes of their text",
        "null for the null alone; elements in the form of the domain's base type",
        "nothing is dropped silently",
    ),
    Explanation(
        "smallest real numbers",
        r"\.c_float4$",
        "`1.4e-45`, as Java prints it",
        "`1e-45`, as PostgreSQL prints it",
        "the same float; a reader that rounds to 32 bits gets the same",
    ),
    Explanation(
        "timestamps beyond the number",
        r"\.c_ts0?$",
        "an overflowed number, or null",
        "the extreme number that also stands for infinity",
        "a reader can tell that it is not a time, and says so",
    ),
    Explanation(
        "unchanged TOASTed values without a form of their own",
        r"^public\.(types|big)\[1:u\].*\.after\.\w+$",
        "null, which looks like NULL",
        "the placeholder in the type's own form",
        "a null would be applied as one",
    ),
    Explanation(
        "columns of type name",
        r"\.c_name$",
        "null unless unknown types are included",
        "the text",
        "nothing is dropped silently",
        modes=("doubles",),
    ),
)


def _same_number(column, sent, read):
    """Debezium drops trailing zeros of unconstrained numerics."""
    return column in ("types.c_num", "types.a_num", "types.c_num_neg") and _numbers(sent) == _numbers(read)


def _same_shape(column, sent, read):
    """Debezium prints the numbers of geometric types with `.0`."""
    return bool(re.search(r"c_(line|lseg|box|path|polygon|circle)$", column)) and _numbers(sent) == _numbers(read)


def _numbers(text):
    return [float(number) for number in re.findall(r"-?[\d.]+(?:e[+-]\d+)?", str(text))]


def _shifted_bounds(column, sent, read):
    """Bounds that do not begin at 1 are dropped, and nothing in the record tells."""
    return str(sent).startswith("[2:3]=") and sent.endswith(f"={read}")


SAME_BUT_NOT_THE_TEXT = (_same_number, _same_shape, _shifted_bounds)
"""What is read back without a doubt and is not the source's text: all that Debezium's records give no hint of."""


def unexplained(differences):
    return [each for each in differences if not any(one.covers(each) for one in EXPLANATIONS)]


def unused(differences):
    """Explanations that nothing needs any more."""
    return [one.title for one in EXPLANATIONS if not any(one.covers(each) for each in differences)]


def as_table():
    lines = ["| difference | Debezium 3.6 | ours | why |", "|---|---|---|---|"]
    lines += [f"| {one.title} | {one.theirs} | {one.ours} | {one.why} |" for one in EXPLANATIONS]
    return "\n".join(lines)


def losses_as_table(losses):
    source = Path(inspect.getsourcefile(losses)).read_text()
    lines = ["| kind | what happened |", "|---|---|"]
    for each in losses:
        said = re.search(rf'{each.name} = .*\n    """(.*?)"""', source)[1]
        lines.append(f"| `{each.value}` | {said} |")
    return "\n".join(lines)


def write(document, name, table):
    """`python -m tests.debezium.explained` brings the document up to date."""
    head, begin, rest = document.partition(f"<!-- {name} -->\n")
    _, end, tail = rest.partition(f"<!-- end of {name} -->")
    return f"{head}{begin}{table}\n{end}{tail}"


if __name__ == "__main__":
    from cdc.debezium.codec import Loss

    path = Path(__file__).parents[2] / "docs" / "debezium-compatibility.md"
    text = write(path.read_text(), "differences", as_table())
    path.write_text(write(text, "losses", losses_as_table(Loss)))
