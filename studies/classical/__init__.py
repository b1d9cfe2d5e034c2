"""Classical and hybrid models beside the shipped network: `python -m studies.classical`."""
