"""What the tool does: the order of steps, a verb a file."""
