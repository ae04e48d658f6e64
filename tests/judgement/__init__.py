"""The gate held to the corpus of tests/gate/corpus, and the corpus held to what PostgreSQL does."""
