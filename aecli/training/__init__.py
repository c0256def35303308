"""Training: the loop, the step, the optimiser, and a run from start to summary."""
