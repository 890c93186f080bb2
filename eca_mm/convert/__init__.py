"""Weights of other libraries for the networks here, and back.

Kept free of imports: the backbones load their weights with parts of this, and other parts build backbones.
"""
