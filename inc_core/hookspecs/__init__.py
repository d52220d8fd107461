"""The contracts between the core and its plugins: one file per extension kind.

Every component hook has one form: it takes nothing and returns ``{"name": Class or
"package.module:Class"}``. Strings are imported on first use. No hook is ``firstresult``: the order
of installation never decides.
"""
