"""The verbs of Holdfast, one function each. They are given what they need and know neither config nor terminal.

`runner` puts locks, the ledger and messages around a job, and `services` is what each is given. The main path is `backup`,
`writing`, `reading` and `restore`. By what one wants to do:

- take: `backup`, `hooks`, `limits`, `sweep`, `importing`
- keep in several stores: `copies`, `copy`, `reencrypt`, `one_place`; `lease` and `fence` let one host at a time change a store
- know: `catalog` rebuilds the ledger; `find`, `show`, `status`, `spread`, `schema`; `past` and `differing` notice tampering
- prove: `verify`, `scrub`, `canary`, `repair`, `restore_test` (with `trial`, `own_cluster`, `proofs`), `drill`
- bring back: `restore`, `restore_tables`, `restore_beside`, `swap`, `recover`, `disaster`, `export`, `kit`
- let go: `prune` (looks, plans, then takes steps), `locking`, `keeping` (pins and the like)
- by itself: `dispatch` starts what `scheduled` lists, `notifying` tells of it through `courier`, `monitoring` answers scrapes
- before it is needed: `checks`
- a Supabase project: `supabase`
"""
