"""The commands: each parses, opens what it needs, calls one job and renders."""
