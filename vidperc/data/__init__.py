"""Data sets: readers, frame samplers, clip transforms, loaders, and synthetic videos."""
