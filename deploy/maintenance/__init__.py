"""Maintenance mode: 503 with the estimated end, for everybody but staff.

It is one object in the deploy bucket, so it holds for every machine and every release at once, and outlives
the database that may be what is worked on. `announce --maintenance` and a restoring `rollback` write it,
`MaintenanceMiddleware` reads it.
"""
