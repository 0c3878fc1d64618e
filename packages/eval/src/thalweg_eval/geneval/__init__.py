"""GenEval: whether images show the objects, numbers, colours and positions that their prompts ask for.

D. Ghosh et al., GenEval: an object-focused framework for evaluating text-to-image alignment, 2023.
"""
