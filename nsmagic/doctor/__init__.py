"""The doctor: tries what works on this machine, in children, and says why what does not.

`checks` is the table of what is tried, `trials` how, `examine` runs them, `reasons` explains what a
step's own hints do not, `report` is what comes out.
"""
