"""Devices, processes, random numbers and signals."""
