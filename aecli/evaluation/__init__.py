"""Models held against images."""
