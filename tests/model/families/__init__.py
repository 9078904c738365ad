"""Grammars of the differential driver: one file per command family.

A family is a module here with

    WEIGHT     its share among the chosen families
    MUTATE     True when the driver may now and then drop or repeat an argument (wrong arity, broken syntax)
    PRODUCERS  [(weight, function)]; function(g) returns one step: a list of Cmd that stay together

`g` is the generator (families.gen.Gen): the seeded random source with the small pools of keys and values that make
commands meet. A Cmd carries its arguments and how its two replies are compared: byte for byte unless it says so.
"""

import importlib
import pkgutil


def names():
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name not in ("gen", "compare"))


def load(name):
    return importlib.import_module("families." + name)
