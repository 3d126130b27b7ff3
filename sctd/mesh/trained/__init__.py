"""Meshes that are optimised: surfaces, their regularisers, their colours, and how they are drawn."""
