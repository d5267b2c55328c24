"""The columns of every result: reports and the command line take headings, formats and meanings from here."""

from __future__ import annotations

from .tables import Column

_GROUP = Column("group", "group", "text")
_GENE = Column("gene", "gene", "gene")
_KNOCKOUT = Column("knockout", "knockout", "gene")
_CELLS = Column("n_cells", "cells", "count")

PARAMETERS = (Column("name", "parameter", "text"), Column("value", "value", "text"))
QUALITY = (
    Column("method", "prediction", "text"),
    Column("bray_curtis", "Bray-Curtis", note="mean dissimilarity of predicted and observed profile, 0 is best"),
    Column("spearman", "Spearman", note="over all expressed entries, 1 is best"),
    Column("spearman_within_gene", "within genes", note="the same within each gene, over the cells that express it"),
)
PLAN = (
    Column("step", "step", "text"),
    Column("genes", "genes", "count"),
    Column("knockouts", "knockouts", "count"),
    Column("time", "time", "word", note="on this machine, as busy as it is now"),
    Column("range", "range", "word"),
    Column("with workers", "with workers", "word", note="each as fast as this machine"),
    Column("memory", "memory", "word", note="highest of the process"),
    Column("disk", "disk", "word", note="of the result in an h5ad file"),
)
PERTURBATIONS = (
    Column("perturbation", "perturbation", "gene"),
    _CELLS,
    Column("role", "role", "text"),
    Column("strength", "strength", note="length of the fitted shift of the latent state"),
)
EVALUATION = (
    Column("method", "method", "text"),
    Column("pearson", "Pearson", note="correlation of predicted and measured effect"),
    Column("pearson_low", "95 % interval", "interval", upper="pearson_high"),
    Column(
        "pearson_gain",
        "gain of the model",
        "signed",
        "Pearson of the model minus that of the method, over the same knockouts",
        brief=False,
    ),
    Column("pearson_gain_low", "95 % interval of it", "interval", upper="pearson_gain_high", brief=False),
    Column("pearson_centred", "centred", note="Pearson after subtracting the mean training effect from both"),
    Column("calibration_slope", "slope", note="factor from predicted to measured size, 1 is calibrated"),
    Column("relative_error", "error", note="squared error over that of no change, below 1 is a gain"),
    Column("direction_50", "signs", note="correct ones among the 50 genes that change most, 0.5 by chance"),
    Column("auprc", "AUPRC", note="finding the genes that change"),
    Column("auroc_matched", "AUROC", note="the same at matched expression, 0.5 by chance"),
    Column("retrieval", "retrieval", note="share of other knockouts that fit worse, 0.5 by chance"),
    Column("impact_ranking", "impacts", note="rank correlation of predicted and measured sizes"),
    Column("similarity", "similarity", note="of predictions for different knockouts"),
)
RANKING = (
    _GROUP,
    _GENE,
    Column("mark", "mark", "text"),
    Column(
        "downstream_mean",
        "downstream impact",
        note="change of all other genes together: mean Bray-Curtis dissimilarity without the gene, 0 to 1",
    ),
    Column("downstream_low", "95 % interval", "interval", upper="downstream_high"),
    Column("pval_adj", "FDR", "p", "false discovery rate of the downstream impact in these cells"),
    Column("signal", "FDR", "p", "false discovery rate of the downstream impact in the cells of the fit"),
    Column("specificity", "specificity", "signed", "log2 ratio of the downstream impact in and outside the group"),
    Column("impact_mean", "impact", note="mean Bray-Curtis dissimilarity of the whole profile, own share included"),
    Column("expression_mean", "expression", note="mean share of the profile, in the cells that express it"),
    Column("fraction", "of cells", "percent", "that express it"),
    _CELLS,
)
RANKED_GROUPS = (
    _GROUP,
    _CELLS,
    Column("n_ranked", "genes ranked", "count", "those that enough cells of the group express"),
    Column("n_found", "significant", "count", "downstream impact at FDR < 0.05"),
    Column("first", "first genes", "gene"),
)
KNOCKOUTS = (
    Column("label", "knockout", "gene"),
    Column("dose", "dose"),
    Column("n_cells", "cells", "count", "in which it was predicted"),
    Column("mean", "mean impact", note="Bray-Curtis dissimilarity of the profile after and before, 0 to 1"),
    Column("q25", "middle half of cells", "interval", upper="q75"),
    Column("max", "largest"),
)
AFFECTED = (
    _KNOCKOUT,
    _GROUP,
    _GENE,
    Column("change", "change", "signed", "predicted mean change of log1p(1e4 x share), after minus before"),
    Column("z", "z", "signed", "of the co-expression of the two genes in these cells, below 0 for genes that fall"),
    Column("pval_adj", "FDR", "p", "of z"),
    Column("others", "others", "percent", "other knockouts that change the gene at least as much"),
    Column("is_specific", "specific", "text", "at most 5 % do"),
)
AFFECTED_COUNTS = (
    _KNOCKOUT,
    _GROUP,
    Column("n_cells", "cells", "count", "that express the knocked-out gene"),
    Column("lowered", "lowered", "count", "co-expressed genes at FDR < 0.05, by the sign of z"),
    Column("raised", "raised", "count", "likewise"),
    Column("agree", "same sign", "percent", "those whose predicted change has the sign of z"),
    Column("n_specific", "specific", "count", "those that at most 5 % of other knockouts change as much"),
)
ENRICHMENT = (
    _KNOCKOUT,
    _GROUP,
    Column("source", "set of genes", "text"),
    Column("score", "score", "signed", "below 0 where the knockout lowers the set"),
    Column("pval_adj", "FDR", "p"),
)
INTERACTIONS = (
    _GROUP,
    Column("gene_a", "gene", "gene"),
    Column("gene_b", "and gene", "gene"),
    Column("class", "class", "text"),
    Column("z", "z", "signed", "interaction minus that of unrelated genes, in standard deviations of the null"),
    Column("pval_adj", "FDR", "p"),
    Column("downstream", "downstream impact", note="of both together, 0 to 1"),
    Column("additive", "sum", note="of the downstream impacts of both alone"),
    Column("interaction", "interaction", "signed", "downstream impact minus sum"),
    Column("expected", "expected", "signed", "the same of unrelated genes"),
    Column("n_cells", "cells", "count", "that express both"),
)
CLUSTERS = (
    Column("cluster", "cluster", "text"),
    _KNOCKOUT,
    Column("score", "score", "signed", "Welch's t of the relative downstream impact, against all other clusters"),
    Column("log_fold_change", "log2 fold change", "signed"),
    Column("downstream_mean", "downstream impact", note="mean over the cells of the cluster that express the gene"),
    Column("fraction", "of cells", "percent", "of the cluster that express it"),
    Column("fraction_others", "of others", "percent", "of the other cells"),
)
IDENTITY = (
    _KNOCKOUT,
    Column("group", "cells of", "text"),
    Column("type", "towards", "text"),
    Column("change", "change", "signed", "of the similarity (cosine) to the type, below 0 away from it"),
    Column("length", "length", note="of the shift, among the principal components of the log expression"),
    _CELLS,
)
DOSES = (
    _KNOCKOUT,
    Column("dose", "dose"),
    Column("impact_mean", "impact", note="mean Bray-Curtis dissimilarity, 0 to 1"),
    Column("impact_q25", "middle half of cells", "interval", upper="impact_q75"),
    Column("distance", "distance", note="length of the mean change"),
    Column("n_changed", "changed", "count", "other genes whose mean change exceeds the threshold"),
    _CELLS,
)
MODULES = (
    Column("perturbation", "knockout", "gene"),
    Column("module", "module", "text"),
    Column("strength", "strength", note="length of the effect"),
    Column("p_effect", "p of an effect", "p", "above the limit a knockout has no significant effect"),
    Column("silhouette", "silhouette", "signed", "1 in the middle of its module, below 0 nearer to another"),
    _CELLS,
    Column("group", "known group", "text"),
)
MODULE_MARKERS = (
    Column("module", "module", "text"),
    _GENE,
    Column("change", "change", "signed", "mean predicted change in the module"),
    Column("others", "in others", "signed", "the same in the other modules"),
)
MODULE_AGREEMENT = (
    Column("over", "over", "text"),
    Column("ari", "adjusted Rand index", note="of modules and known groups, 1 is the same, 0 chance"),
    Column("nmi", "normalised mutual information"),
    Column("neighbours", "neighbours of one group", "percent"),
    Column("neighbours_expected", "by chance", "percent"),
    Column("neighbours_p", "p", "p"),
)
