"""Firestore beside the database: exported at the snapshot's moment, restored where it overwrites nothing.

The Google client libraries are imported only where they are used.
"""
