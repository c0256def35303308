"""Sweeps: many runs, planned as folders, launched, monitored and resumed."""
