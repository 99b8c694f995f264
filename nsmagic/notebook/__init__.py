"""IPython and Jupyter: the magics, what a forked kernel must lose, and what the front end sees."""
