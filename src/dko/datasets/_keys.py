"""Where a simulated AnnData carries its truth."""

from __future__ import annotations

TRUTH = "truth"  # layers: noise-free steady state
PRODUCTION = "production"  # layers: production factor of every expressed gene
HALF_RESPONSE = "half_response"  # var: level of a regulator at which its response is half, of cells of several types
NETWORK = "network"  # varp: signed weights, rows regulate columns
GRN = "grn"  # uns: parameters of the simulation
PERTURB_SEQ = "perturb_seq"  # uns: strengths of targets, network of modules, parameters
ACYCLIC = "acyclic"  # uns[GRN]["network"] of cells of several types
