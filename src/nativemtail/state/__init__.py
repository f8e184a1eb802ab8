"""What outlives the process: metrics and reading positions of one instant, in a directory."""
