"""Proves a Django release before it goes live."""

__version__ = "0.1.0"
