"""Frozen types and pure functions: no I/O, no clock, the standard library only.

- what lies in a store: `backup`, `manifest`, `mark`, `proof`, `catalog`, `lease`, `storage`; `layout` has their keys, `codec` their JSON
- what the config means: `target`, `schedule`, `retention`, `testing`, `supabase`
- decisions: `planning` (what is to run now), `retention` and `pruning` (what may go), `terms` (how long locks have to last),
  `scrubbing` (what is to be read again), `anomaly` (what is unusual)
- what is told: `errors`, `event`, `overview`, `document`
- reading a cron script: `cron_script`, `shell_lines`, `shell_words`
"""
