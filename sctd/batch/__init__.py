"""Many assets at once: a list of prompts, one prior, and a place that survives whatever happens to the run.

prompts.py reads the list, manifest.py keeps the state of every asset, worker.py makes them with the calls of
sharing/, run.py puts the three together on one device, store.py says where all of it is kept, status.py says
how it goes, and gallery.py shows what came out.
"""
