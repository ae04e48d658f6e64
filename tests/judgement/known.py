"""Cases that the gate does not judge rightly yet, with the reason. A case that it has learnt has to go."""

KNOWN: dict[str, str] = {
    "not enforced check": "NOT ENFORCED is taken for NOT VALID when rows that break a check are looked for",
    "lock a row": "SELECT … FOR UPDATE by the key of one row is counted as one of the whole table",
    "unique constraint from a concurrent index, with its state": "its contract phase comes too late",
}
