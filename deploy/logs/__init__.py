"""Log lines for Cloud Logging: one JSON object a line, in the fields that it knows."""
