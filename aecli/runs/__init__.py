"""Run directories: files, locks, logs and checkpoints."""
