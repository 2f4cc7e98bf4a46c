"""Process kinds: io, gpu, beat. Each is run as a module; its resources are lent by `runtime`."""
