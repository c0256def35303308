"""Baselines that models are compared with."""
