"""Cases that the gate does not judge rightly yet, with the reason. A case that it has learnt has to go."""

REVERSED = "what the reverse leaves (a validated constraint, an enum value, a name) is called a difference"
OPAQUE = "the statement is not judged"

KNOWN: dict[str, str] = {
    "insert over conflict": "INSERT … ON CONFLICT DO UPDATE of a whole table is not counted",
    "select for update of everything": "row locks are not counted",
    "add own immutable function default": "only the database knows that the function is immutable",
    "check not valid that rows break": "the rehearsal does not run the old code after the contract phase",
    "positive integer to integer": REVERSED,
    "validate what was not valid": REVERSED,
    "validate in lower case": REVERSED,
    "constraint on a domain, not valid": OPAQUE,
    "index only on the parent of partitions": "ON ONLY a partitioned table builds nothing",
    "rename table, view in its place": "the view takes the old code's statements",
    "new enum value after another": REVERSED,
    "replace function": OPAQUE,
    "batches inside a transaction": "what RunPython writes is not counted",
    "RunSQL without a reverse": "not flagged",
    "view replaced by the same": OPAQUE,
    "two-way trigger for a rename": OPAQUE,
}
