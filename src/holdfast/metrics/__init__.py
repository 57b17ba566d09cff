"""What monitoring is told: families of metrics by topic, and the endpoint that answers with them."""
