"""Compares Holdfast's speed and size with the programs it replaces, on one machine, in one run. Not shipped."""
