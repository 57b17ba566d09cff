"""Before it is needed: what `check` tries. Each other module is a part of it, and gives a list of findings."""
