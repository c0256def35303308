"""Lectures: each a list of slides with the command that shows it, run as a whole."""
