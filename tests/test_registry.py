"""The registry refuses duplicates and helps with names."""

import pytest
from torch import nn

from akyolo.errors import RowError
from akyolo.registry import operator, operators, register


def test_a_name_belongs_to_one_module():
    with pytest.raises(ValueError, match="'AKConv' is already registered"):
        register("AKConv")(nn.Identity)
    assert operator("AKConv").module is not nn.Identity


def test_registering_the_same_module_again_changes_nothing():
    before = list(operators())
    register("AKConv")(operator("AKConv").module)
    assert list(operators()) == before


def test_an_unknown_name_names_the_closest():
    with pytest.raises(RowError, match="did you mean 'AKConv'"):
        operator("AkConv")


def test_only_what_upstreams_parser_can_build_in_its_place_is_stood_in_for():
    with pytest.raises(ValueError, match="nothing can stand in for 'C2f', only for Conv, Bottleneck"):
        register("Other", stands_in="C2f")(nn.Identity)


def test_a_refused_class_is_not_half_registered():
    before = list(operators())
    double = type("ColumnConv", (nn.Module,), {"__module__": "akyolo.ops.another"})  # an inner layer has this name
    with pytest.raises(ValueError, match=r"akyolo\.ColumnConv is already another class"):
        register()(double)
    assert list(operators()) == before
