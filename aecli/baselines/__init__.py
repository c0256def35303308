"""What a model is held against."""
