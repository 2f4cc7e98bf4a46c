"""Delivery: names, queues, thin task bodies, the shared token bucket."""
