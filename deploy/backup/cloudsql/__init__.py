"""Cloud SQL through its Admin API: the instance's own backups, and clones of it for the drill.

The second path beside our archives: it shares neither pg_dump nor the bucket with them.
"""
