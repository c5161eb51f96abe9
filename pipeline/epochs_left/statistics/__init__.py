"""Pure statistics: folds, scores, bootstrap, conformal intervals."""
