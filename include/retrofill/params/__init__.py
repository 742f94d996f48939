"""Params: their names, allowed values, and how the trigger form shows them."""

from retrofill.params.base import Params, Problem, Sound, field, refuse

__all__ = ["Params", "Problem", "Sound", "field", "refuse"]
