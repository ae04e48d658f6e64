"""The rehearsal: migrations run on a copy, watched, undone, cut off, and tried with both releases' models."""
