"""What monitoring is told: the families of metrics by topic, `collector` for a scrape, and the `endpoint` that answers."""
