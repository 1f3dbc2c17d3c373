"""CelebA on disk: index, layouts, copies, spans, images, download, audit."""
