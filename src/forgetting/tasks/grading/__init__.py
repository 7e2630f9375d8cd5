"""What graders of generated answers rest on: reading answers, published metrics.

`data/tasks/<family>/graders.py` joins these to the documents of its tasks.
"""
