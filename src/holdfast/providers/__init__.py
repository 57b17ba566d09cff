"""The APIs of hosting platforms, Supabase's so far: `exchange` sends a request, `shapes` reads the answer strictly."""
