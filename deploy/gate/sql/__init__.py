"""SQL statements as data: parsed by PostgreSQL's grammar, told by what they do and what they lock."""
