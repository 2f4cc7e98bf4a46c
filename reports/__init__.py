"""Contact sheets and tables made of what the books say."""
