"""Mathematics on arrays and tensors; nothing here knows AnnData."""
