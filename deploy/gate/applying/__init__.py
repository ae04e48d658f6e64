"""Migrations run against the live database, lock-aware, killed and gone on with."""
