"""Ways in which a target is captured and restored. `base` holds the contract; `logical` is pg_dump's way.

`logical_restore`, `tables_restore` and `plain_restore` bring back; `supabase_dump` and `supabase_restore` are what differs for such
a project. `proving` restores into a scratch server and has `identity` hold the result against its archive.
`foreign_dump` reads the dumps of other programs.
"""
