"""Wires an installation together: settings, resources, worker processes, embedded servers."""
