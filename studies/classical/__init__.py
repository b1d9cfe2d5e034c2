"""Classical and hybrid models compared with the shipped network: `python -m studies.classical`."""
