"""The chain of trainings behind the shipped models says what the models' cards say."""

import json
import os
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
pytest.importorskip("keras")

from builder_tools.cards import ModelCard, find_model  # noqa: E402
from builder_tools.cli.parsing import build_parser  # noqa: E402
from studies.shipped import chain  # noqa: E402
