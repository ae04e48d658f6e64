"""What `manage.py backups ACTION` does: each action in a module with `arguments` and `run`."""
