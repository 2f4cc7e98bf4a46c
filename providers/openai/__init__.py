"""OpenAI's picture models: their calls, bodies, failures and token prices."""
