"""Files on a disk: where they are, what is in them, and how they are written and read safely."""
