"""Displays that follow what they show: widgets, with Python as the one truth.

Law: a widget's JavaScript shows what Python has said and tells Python what was pressed; it decides nothing,
and asks no other machine for anything. Everything is in a saved notebook as plain HTML, which the widget
takes over while its kernel lives: where there is no kernel, no trust or no widget manager, that HTML stays.
"""
