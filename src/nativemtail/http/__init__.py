"""The HTTP side of the daemon: the listener, access control, and the pages."""
