"""Networks trained on the labels of every labeller: `python -m studies.regressors`."""
