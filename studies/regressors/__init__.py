"""Networks taught the labels of every labeller: `python -m studies.regressors`."""
