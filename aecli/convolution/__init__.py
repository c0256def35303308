"""The arithmetic of convolutions, without torch."""
