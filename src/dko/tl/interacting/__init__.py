"""Steps of the interactions of pairs."""
