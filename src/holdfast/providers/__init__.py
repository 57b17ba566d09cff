"""What the APIs of hosting platforms are asked."""
