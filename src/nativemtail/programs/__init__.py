"""The life of programs: list, compile or fetch, exchange, reload."""
