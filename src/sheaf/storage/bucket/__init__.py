"""Stores in buckets of S3, Google Cloud Storage and Azure, through obstore."""
