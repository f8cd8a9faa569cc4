"""One check for each family of golden files; the import of a file adds its families."""

from tests.helpers.golden import anchor_families, dcn_family, dk_family, dsconv_family, icnn_family  # noqa: F401
from tests.helpers.golden.families import FAMILIES

__all__ = ["FAMILIES"]
