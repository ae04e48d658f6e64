"""Releases on top of a small live app, each with the verdict that PostgreSQL itself gives.

`tests/judgement` lets a real server say whether a case is labelled rightly, and holds the gate to it.
"""
