"""The DAG widget: draw a DAG, run it, and see where the time goes.

Law: Python owns what is drawn. A front end sends operations and gets the new state, or the reason why not; it
keeps nothing but what concerns one view alone: the selection, and the part of the picture that is seen.

`sketch`, `editing`, `checking`, `wording`, `placing` and `measuring` are pure; `editor` joins them to a
runtime, `widget` to the front ends; `static/dag.js` is what runs there.
"""
