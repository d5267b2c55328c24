"""Model 1, of unperturbed cells (arXiv 2510.03359): a network, and total effects beside it in closed form.

Arrays and tensors only; docs/design.md has the mathematics.
"""
