"""How fast is meshlint, and how much memory does it take, against what Python and libyaml need at least?"""
