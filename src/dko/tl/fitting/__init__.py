"""What a fit of either model does, step by step."""
