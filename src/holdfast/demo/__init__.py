"""The demo: the main job, for real, on throwaway servers."""
