"""What answers over HTTP: the providers' webhooks."""
