"""Groups of perturbations that act alike."""
