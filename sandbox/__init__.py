"""A stand-in for the paid image services: real HTTP, real pictures, its own bill, and faults on request."""
