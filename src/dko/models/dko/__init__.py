"""Model 1, of unperturbed cells (arXiv 2510.03359): arrays and tensors only.

A network predicts the profile of a cell from the genes that are present. It conditions the influence of a gene on the
presence of all others, which blocks whatever runs through them. So total effects are estimated beside it, in closed
form: each pair of genes has one regression, shrunken by empirical Bayes, and what whole programs of genes have in
common is taken off by a heavy ridge penalty. The result is a factor for every pair of genes, by which the observed
share of one changes when the other is lost.
"""
