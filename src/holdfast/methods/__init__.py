"""Ways in which a target is captured and restored. `base` holds the contract; `logical` is pg_dump's way."""
