"""History: old logs into series of a time-series database, divided among any number of workers."""
