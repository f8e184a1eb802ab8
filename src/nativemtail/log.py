"""Loggers by another name, until all modules ask `logging` for theirs."""

from logging import CRITICAL, DEBUG, ERROR, INFO, WARNING
from logging import getLogger as Log

__all__ = ["CRITICAL", "DEBUG", "ERROR", "INFO", "WARNING", "Log"]
