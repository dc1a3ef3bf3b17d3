"""Learning on the fly: explore, find what is new, ask quantum mechanics, refit, go on.

settings → campaign (the state machine) → explore · select · label · fit, with its state in store.
Nothing is imported here, so that the processes of :mod:`mentor.learning.worker` start quickly.
"""
