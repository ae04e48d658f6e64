"""What docker/rollout.py does: two colours of each part, and the one rename that moves traffic between them.

Standard library only, for the Python of the machine (3.9 and newer). It imports nothing of `deploy`: what it
needs of it are commands in a one-shot container (see jobs.py).
"""
