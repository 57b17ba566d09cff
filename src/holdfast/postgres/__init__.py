"""PostgreSQL: connections, client programs, snapshots, archives and throwaway clusters."""
