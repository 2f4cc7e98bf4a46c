"""Picture stores: a local folder, an S3 bucket, or both."""
