"""What can be done with codes."""
