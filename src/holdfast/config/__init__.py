"""The configuration: TOML and environment, checked strictly into types, once."""
