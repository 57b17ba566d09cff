"""PostgreSQL: connections, client programs, snapshots, archives and throwaway clusters.

- servers: `conninfo` says where, `server` connects and tells what is there, `errors` translates, `pooler` warns, `tools` finds programs
- what a server holds: `catalog` with `queries`, `properties`, `definitions`, `snapshot`
- archives, as they stream by: `archive` and `entries` read the table of contents, `blocks` the data, `cutting` makes a smaller
  one, `selecting` and `belonging` choose; `script` and `tar_archive` read the plain and the tar format
- what is the same: `multiset` and `data_digest` for rows, `script_objects` and `object_changes` for definitions, `validity`
- throwaway clusters: `scratch`, and `confined` for code that nobody vouches for; `borrowed` where the server is the owner's
- swapping and renaming in a live server: `swap_checks`, `swapping`, `renaming`, `sessions`, `waiting`
- a Supabase project's database: `supabase_names`, `supabase_entries`, `supabase_there`
"""
