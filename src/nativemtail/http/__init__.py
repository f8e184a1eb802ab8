"""The HTTP side of the daemon: who may ask, the listener, and what it answers."""
