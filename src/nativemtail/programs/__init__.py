"""Program lifecycle: list, compile or fetch from the cache, exchange, reload."""
