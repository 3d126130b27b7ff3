"""Many assets from a list of prompts, with one prior; a batch can be resumed after any interruption.

prompts.py reads the list, manifest.py keeps the state of every asset, worker.py makes assets and joins their
calls through sharing/. run.py coordinates a batch on one device, cluster.py on several. store.py keeps the
files, status.py reports progress, and gallery.py writes a page of the assets.
"""
