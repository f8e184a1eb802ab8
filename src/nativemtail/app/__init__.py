"""What the command does: start-up, the two ways of running, messages, sub-commands."""
