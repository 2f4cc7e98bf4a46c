"""A real PostgreSQL and a real Redis as child processes, for a machine that was given neither.

`stack.shared(home)` is the way in. A keeper process of ours runs both servers in the foreground; the commands
that use them only hold a lock, so that the kernel itself counts them, however they end.
"""
