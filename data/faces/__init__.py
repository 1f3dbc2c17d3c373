"""Faces in photos: where they are, and their crops as CelebA has them.

Shared by the application, which answers about photos, and by the evaluation that scores a model on
photos as the application sees them. Imports no TensorFlow.
"""
