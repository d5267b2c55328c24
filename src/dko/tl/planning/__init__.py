"""How long fits and scans take, and what they need, from short ones."""
