"""Program text to action tables.  Imports nothing of the runtime."""
