"""Resolvers: what an earlier run left that this run is compared with."""
