"""Training and testing, on the abstract interfaces."""
