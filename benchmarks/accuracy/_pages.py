"""What the tables show, and what has to be known to read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ._calibration import REAL, SIMULATED
from ._cells import PAPALEXI
from ._cells import RENGE as RENGE_CELLS
from ._dream4 import NAME as DREAM4
from ._essential import OF_LIST, OF_OTHERS
from ._essential import SETS as ESSENTIAL
from ._interactions import NAMES as OF_PAIRS
from ._keystone import NAMES as KEYSTONES
from ._prior import MEASURED, REGULATED
from ._screens import SETS
from ._simulated import SETTINGS
from ._specificity import NAME as REGULATORS
from ._types import FEW, SEVERAL
from ._unseen import APART, PAIRS, RENGE, SEEN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True)
class Table:
    """Methods in rows; in columns the metrics (name -> title) of each data set."""

    caption: str
    data: Sequence[str]
    metrics: Mapping[str, str]


@dataclass(frozen=True)
class Page:
    """Tables of a family of data sets."""

    title: str
    note: str
    tables: Sequence[Table]


_DECISION = {"explained": "explained", "is_total": "total effects"}
_WHY = (
    "What decides the default: share of the variance of levels that assemblages explain, and share of the fits that "
    "take total effects"
)
_SCREEN = {
    "spearman": "Spearman",
    "calibration_slope": "slope",
    "relative_error": "error",
    "direction_50": "signs of 50",
    "direction_fidelity": "fidelity",
    "direction_reach": "reach",
    "jaccard": "overlap",
    "auprc": "AUPRC",
    "auroc_matched": "AUROC, matched",
}
_BETWEEN = {
    "retrieval": "retrieval",
    "retrieval_centred": "retrieval, centred",
    "retrieval_cosine": "retrieval, cosine",
    "similarity": "similarity",
    "impact_ranking": "impact ranking",
}
_UNSEEN = {
    "pearson": "Pearson",
    "pearson_gain": "gain of the default",
    "pearson_centred": "Pearson, centred",
    "retrieval": "retrieval",
    "direction_20": "signs of 20",
    "calibration_slope": "slope",
}
_DISTANCES = {"energy_distance": "energy distance", "mmd": "MMD", "energy_distance_gain": "gain of the default"}
_NULL = {
    "share": "below 0.05",
    "off": "off by (sd)",
    "share_01": "below 0.01",
    "share_001": "below 0.001",
    "ks": "KS p",
    "ks_sets": "sets with KS p < 0.01",
    "fdr": "false discovery rate",
    "called_intact": "called, intact",
}
_NULL_PAIRS = {f"pair_{name}": title for name, title in _NULL.items() if name not in ("called_intact", "fdr")}
_SIZES = {"size_pearson": "Pearson", "size_spearman": "Spearman"}

PAGES = {
    "simulated": Page(
        "Simulated networks",
        "Three networks of 100 genes (edges with probability 0.1, 60 % activating, weights uniform in 0.5 to 2), decay "
        "1. *Noise-free*: 500 cells, each with 80 % of the genes; *noise 0.3*: the same with log-normal noise; *depth "
        "2,000* and *500*: Poisson counts of 1,500 cells, each with 90 % of the genes, with log-normal differences of "
        "0.5 in production. *Effect*: Pearson correlation with the true effect, mean over genes. *Impact*: Spearman "
        "correlation with the true impact over all genes and cells. The range is over all fits of all networks; of "
        "methods without a fit, over the networks. As truth is exact, a perfect method reaches 1.",
        [
            Table("Impacts", list(SETTINGS), {"impact": "impact"}),
            Table(_WHY, list(SETTINGS), _DECISION),
        ],
    ),
    "types": Page(
        "Simulated cells of several types, and of few genes",
        "Cells of {func}`dko.datasets.grn_types`: 1,200 (of 400 genes 1,500), with 5 counts per gene before dropout. "
        "*5 types*: few large modules of genes with the same regulators, most of them activators; *9* and *6 types*: "
        "noisier levels and large modules, the former with more dropout. *Few genes*: cells of one type; of *100 of "
        "300 genes*, the methods see 100 at random, and the others still regulate. Two networks of each kind. *Effect* "
        "and *impact* as above, effects in all cells; *strong*: of the 15 knockouts with the largest true effects. The "
        "range is over all fits of all networks; of methods without a fit, over the networks.",
        [
            Table("Effects of strong knockouts, several types", list(SEVERAL), {"effect_strong": "strong"}),
            Table("Effects, several types", list(SEVERAL), {"effect": "effect"}),
            Table("Impacts, several types", list(SEVERAL), {"impact": "impact"}),
            Table("Effects of strong knockouts, few genes", list(FEW), {"effect_strong": "strong"}),
            Table("Effects, few genes", list(FEW), {"effect": "effect"}),
            Table("Impacts, few genes", list(FEW), {"impact": "impact"}),
            Table(_WHY, [*SEVERAL, *FEW], _DECISION),
        ],
    ),
    "interactions": Page(
        "Interactions of pairs of genes",
        "Noise-free cells and cells of depth 2,000 of the simulated networks above; all 435 pairs of 30 genes, drawn "
        "once per network. *Interaction*: Spearman correlation over pairs of the mean interaction of "
        "{func}`dko.tl.interactions` (downstream impact of both less those of each) with the true one, over the cells "
        "in which both genes are seen. *Relative*: the same of the interaction relative to the sum of both, of "
        "predicted and of true ones, so that large impacts are no help. Methods that predict effects without a model "
        "are made into interactions by the length of the sum of two effects, times shares of expression, less the "
        "lengths of both. The range is over all fits of all networks.",
        [Table("Pairs", list(OF_PAIRS), {"interaction": "interaction", "relative": "relative"})],
    ),
    "keystone": Page(
        "Keystone genes of simulated networks",
        "The cells of the first part. *Downstream*: Spearman correlation over the 100 genes of the mean downstream "
        "impact, which {func}`dko.tl.rank_genes` ranks by, with the true one in the same cells. *Impact*: the same of "
        "impacts, of which the share of the gene itself is a part. The baselines have one score for both: mean share, "
        "mean share where the gene is present, standard deviation of log1p(1e4 * profile), and mean size of the "
        "correlations with all other genes times this. The range is over all fits of all networks; of baselines, over "
        "the networks.",
        [Table("Keystones", list(KEYSTONES.values()), {"downstream": "downstream", "impact": "impact"})],
    ),
    "essential": Page(
        "Keystone genes and genes that cells cannot live without",
        "Unperturbed cells, all genes of the lists of core-essential and non-essential genes of Hart et al. (2017) "
        "that 10 cells or more express, and 1,500 others at random; one fit. Area under the curve of essential genes "
        "against all others and, where 10 or more are expressed, against non-essential ones, with its 95 % interval "
        "over genes (bootstrap). Essential genes are expressed more than others, so what counts is *matched*: the same "
        "within fifths of the genes by mean expression. Below 0.5, essential genes are ranked last: a mean over the "
        "cells that express a gene is high for genes of one cell type, essential ones are in all. There is no bar: "
        "what a dividing cell line cannot live without need not change the other genes of a blood cell.",
        [
            Table(
                f"Essential genes, AUROC against {others}",
                list(ESSENTIAL),
                {f"auroc {what}": "AUROC", f"auroc_matched {what}": "matched"},
            )
            for what, others in ((OF_OTHERS, "all others"), (OF_LIST, "non-essential ones"))
        ],
    ),
    "calibration": Page(
        "Are p-values right where there is nothing to find?",
        "200 data sets of 600 cells and about 300 genes with every gene permuted independently over the cells, so "
        "that no gene depends on another. *PBMC 3k*: random cells, their 60 most abundant genes and 240 others of "
        "those that 10 cells or more express. *Simulated*: overdispersed counts of cells of very different depth, "
        "one gene with a fifth of all. *Default*: p-values of {func}`dko.tl.rank_genes`, of downstream impacts, "
        "which are the same for direct effects, of which a fit keeps no null; *no counts*: those of values whose "
        "counts cannot be recovered. *Below 0.05*: share of all p-values, about 60,000, and by how many standard "
        "deviations of a binomial distribution it is off. *KS p*: Kolmogorov and Smirnov, against a uniform "
        "distribution, of the p-values of 5 genes of each data set, as those of one set are not independent. "
        "*False discovery rate*: share of data sets in which Benjamini and Hochberg call any gene at 5 %, all of "
        "them wrongly; of 200 sets, a true rate of 0.05 shows as 0.025 to 0.085. *Called, intact*: share of the "
        "genes called in the same way in 20 such data sets that are not permuted. Naive tests beside it: Pearson "
        "correlations of log1p(1e4 * profile), the largest by Bonferroni, or the sum of their squares by "
        "chi-squared. *Pairs*: p-values of {func}`dko.tl.affected_genes`, of 5 genes of each data set with all "
        "that they are expected to meet in 5 cells or more.",
        [
            *(Table(f"Genes: {data}", [data], _NULL) for data in (REAL, SIMULATED)),
            *(Table(f"Pairs: {data}", [data], _NULL_PAIRS) for data in (REAL, SIMULATED)),
        ],
    ),
    "dream4": Page(
        "DREAM4, 100 genes",
        "DREAM4 has no single cells. Cells were simulated from its gold-standard network like those of depth 2,000 "
        "above: signs of edges from the changes that its knockouts show there, weights drawn three times, and a basal "
        "production for every gene. *Effect* and *impact* as above, over the 41 genes that regulate others. *Direct "
        "targets*: the gold standard's edges among genes by the size of their effect, mean over regulators; the row "
        "*measurement* has DREAM4's own knockouts, one noisy sample each. Their signs are not compared: in the "
        "dynamics of the simulation the loss of a repressor lowers its targets.",
        [
            Table(
                "Scores",
                [DREAM4],
                {
                    "effect": "effect",
                    "impact": "impact",
                    "auroc_direct": "direct targets, AUROC",
                    "auprc_direct": "AUPRC",
                },
            ),
            Table(_WHY, [DREAM4], _DECISION),
        ],
    ),
    "screens": Page(
        "Measured knockouts",
        "Scores of {func}`dko.tl.evaluate`, which says what they are. *tal1*: mouse chimera (E-MTAB-7325); *nkx21*: "
        "mouse lung epithelium (GSE129628), with the 800 genes that most control cells express, and with all; *renge*: "
        "human iPSC, 23 knockouts (GSE213069); *papalexi*: human THP-1, the 5 of 13 knockouts whose genes are measured "
        "(GSE153056). *replicate*: half of the cells as a prediction of the other half. The first range, (...), is "
        "over the seeds of a fit, the second, [...], the 95 % interval of a bootstrap over knockouts, mean over seeds; "
        "a single knockout has none. In the first table, *measurement* is the ceiling: how well two halves of the "
        "cells agree. The AUPRC of *no change* is the share of genes that change. The paper's setting was not fitted "
        "with all genes of nkx21 (7 minutes a fit).",
        [
            Table("Pearson correlation of effects", list(SETS), {"pearson": "Pearson"}),
            *(Table(f"More about effects: {data}", [data], _SCREEN) for data in SETS),
            Table(
                "Energy distance of knocked-out to measured cells", list(SETS), {"energy_distance": "energy distance"}
            ),
            Table("Different knockouts (renge)", ["renge"], _BETWEEN),
            Table(_WHY, list(SETS), _DECISION),
            Table(
                "Sizes of effects, without their signs, which scTenifoldKnk (sctenifoldpy 0.5.1) and GenKI (genki "
                "0.2.3) do not have: correlation over genes of the absolute values, with the same control cells",
                ["nkx21", "renge"],
                _SIZES,
            ),
        ],
    ),
    "unseen": Page(
        "Perturbations that a model of perturbations has not seen",
        "The SCCVAE. *renge, unseen*: 23 knockouts in human iPSC (GSE213069), five folds by knockout. *Controls "
        "apart*: the same, a third of the control cells kept out of each fit, and effects measured against these "
        "alone; else chance in the mean of the control cells is in the measured effect and in those that predictions "
        "are made of. *norman, unseen pairs*: activation in K562 (GSE133344), the 5 pairs whose genes were both "
        "perturbed alone, none of them seen; their genes are not measured, so they are distinguished by name alone. "
        "*renge, seen*: a fifth of the cells of every knockout kept out. Scores of {func}`dko.tl.evaluate` on "
        "log-normalised values, without the targets, mean over the reliable perturbations of all folds. The first "
        "range, (...), is over the seeds of a fit and their folds, the second, [...], the 95 % "
        "interval of a bootstrap over perturbations. *measurement*: what a perfect prediction would reach. *Gain*: of "
        "the default, perturbation by perturbation. The default is the mean of three fits; *single fit* is one alone, "
        "and so are the other codes. *Centred*: after subtracting the mean effect of the perturbations "
        "that were seen.",
        [
            Table("Knockouts that were not seen (renge)", [RENGE], _UNSEEN),
            Table("The same, control cells apart", [APART], _UNSEEN),
            Table("Pairs that were not seen (norman)", [PAIRS], _UNSEEN),
            Table("Cells that were not seen, of knockouts that were: distances of predicted cells", [SEEN], _DISTANCES),
            Table("Cells that were not seen, of knockouts that were: effects", [SEEN], _UNSEEN),
        ],
    ),
    "cells": Page(
        "Predicted cells of knockouts that were seen",
        "The SCCVAE, with its defaults: the layers of {func}`dko.tl.virtual_ko` beside cells of the same knockouts "
        "that did not train (a fifth of each). *renge*: 23 knockouts in human iPSC (GSE213069), 103 genes; *papalexi*: "
        "the 5 knockouts in THP-1 (GSE153056) whose genes are among the 299 that are measured. Energy distance in all "
        "genes, targets among them, of at most 500 cells on a side, mean over the knockouts. *Mean shift*: control "
        "cells plus the measured effect in the training cells; *gaussian*: drawn around the same mean, with the "
        "covariance of control cells; *measurement*: two halves of the control cells. *Version 0.1.0*: the same fits, "
        "decoded cells. *Gap*: the largest difference, over knockouts and genes, between the mean of a layer less that "
        "of the observed cells and {func}`dko.get.effects`.",
        [Table("Distances", [RENGE_CELLS, PAPALEXI], {"energy_distance": "energy distance", "gap": "gap"})],
    ),
    "prior": Page(
        "Known regulation",
        "The default without and with ``prior=...``, on the knockouts that agree with themselves (split-half "
        "correlation above 0.3; papalexi 0.2), and on the 15 with the largest effects in each of two networks of "
        "the cells of several types above. *Network*: all of DoRothEA, confidence A to D, of human or mouse (tal1: "
        "one edge of the knocked-out gene; renge: 22 edges of 7 of 23 genes; papalexi: one edge of one of 2); of "
        "simulated cells, half of the true edges and as many wrong ones. *Measured effects*: of renge, those of "
        "days 2 and 3 for effects on days 4 and 5; of simulated cells, true ones in half of the types, with an "
        "error of 0.15, for those in the others. The interval is that of a bootstrap over knockouts.",
        [
            Table("Network: Pearson correlation of effects", REGULATED, {"pearson": "Pearson"}),
            Table("Network: gain", REGULATED, {"gain": "gain"}),
            Table("Measured effects: Pearson correlation of effects", MEASURED, {"pearson": "Pearson"}),
            Table("Measured effects: gain", MEASURED, {"gain": "gain"}),
        ],
    ),
    "specificity": Page(
        "Do knockouts of different genes give different answers?",
        "500 simulated cells, 1,000 genes, 25 regulators of 30 targets each, three cell types; scores over the genes "
        "that are no regulators. *Affected*: a true mean change above 0.25. *Similarity*: Spearman correlation of the "
        "sizes of effects of different knockouts; near 1, a method says the same of every gene. *Centred*: after "
        "subtracting from the rank of each gene its mean over the knockouts. *Retrieval*: share of the other knockouts "
        "whose truth fits the prediction worse than its own; 0.5 by chance. scTenifoldKnk (sctenifoldpy 0.5.1) and "
        "GenKI (genki 0.2.3) ran on the same cells.",
        [
            Table(
                "Scores",
                [REGULATORS],
                {
                    "auroc_affected": "AUROC, affected",
                    "auroc_direct": "AUROC, direct targets",
                    "similarity": "similarity",
                    "auroc_direct_centred": "AUROC, direct, centred",
                    "retrieval_centred": "retrieval, centred",
                    "effect": "effect",
                },
            ),
            Table(_WHY, [REGULATORS], _DECISION),
        ],
    ),
}
