"""The two sides of `bench_whole_path` and the provider between them."""
