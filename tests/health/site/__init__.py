"""A small production-like project: strict hosts, redirect to HTTPS, transactions around requests."""
