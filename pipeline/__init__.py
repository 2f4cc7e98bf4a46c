"""What happens to a generation, one module per thing that happens; nothing here knows Celery."""
