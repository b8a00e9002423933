"""How things show themselves in a notebook: HTML that needs no script, no request and no trust.

Law: displays read what is there. They never wait for a call, never start a runtime, and are imported when
something is shown for the first time; whatever is heavy (matplotlib, networkx, ipywidgets) later still.

Pictures are ``<img>`` with their data in them, the one form that a notebook which nobody trusts still
shows; colours are chosen to be read on white and on black.
"""
