"""Do two answers say the same? Pure: no input or output, no clock, no randomness; every loop is bounded by a budget."""

from router.compare.answers import DEFAULT_RULES, compare
from router.compare.masks import Mask, MaskKind
from router.compare.rules import ArrayOrder, ArrayRule, CompareRules, HeaderPolicy, MapRule
from router.compare.values import Answer, Comparison, Outcome, OutcomeClass, Verdict, whole_answer

__all__ = [
    "DEFAULT_RULES",
    "Answer",
    "ArrayOrder",
    "ArrayRule",
    "CompareRules",
    "Comparison",
    "HeaderPolicy",
    "MapRule",
    "Mask",
    "MaskKind",
    "Outcome",
    "OutcomeClass",
    "Verdict",
    "compare",
    "whole_answer",
]
