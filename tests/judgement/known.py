"""Cases that the gate does not judge rightly yet, with the reason. A case that it has learnt has to go."""

KNOWN: dict[str, str] = {}
