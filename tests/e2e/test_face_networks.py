"""The ONNX networks compute what the `mtcnn` package computes with TensorFlow."""

import numpy as np
import onnxruntime
import pytest

from data.faces.mtcnn_graphs import graphs, load_weights


@pytest.mark.parametrize(("name", "size_px"), [("pnet", 37), ("rnet", 24), ("onet", 48)])
def test_networks_agree_with_the_packages_own(name: str, size_px: int) -> None:
    """Random pixels: every output within 1e-5 of the package's Keras network."""
    from mtcnn.network.onet import ONet
    from mtcnn.network.pnet import PNet
    from mtcnn.network.rnet import RNet

    network = {"pnet": PNet, "rnet": RNet, "onet": ONet}[name]()
    network.build()
    network.set_weights(load_weights(name))
    pixels = np.random.default_rng(7).integers(0, 256, (4, size_px, size_px, 3), dtype=np.uint8)
    if name == "pnet":
        pixels = pixels[:1]
    theirs = [t.numpy() for t in network((pixels.astype(np.float32) - 127.5) / 128)]
    session = onnxruntime.InferenceSession(graphs()[name], providers=["CPUExecutionProvider"])
    given = pixels if name == "pnet" else pixels.astype(np.float32)
    ours = dict(
        zip(
            [o.name for o in session.get_outputs()],
            session.run(None, {"pixels": given}),
            strict=True,
        )
    )
    box, face = theirs[0], theirs[-1][..., 1]
    if name == "pnet":
        box = box.transpose(0, 3, 1, 2)
    np.testing.assert_allclose(ours["face"], face, atol=1e-5)
    np.testing.assert_allclose(ours["box"], box, atol=1e-5)
    if name == "onet":
        np.testing.assert_allclose(ours["landmarks"], theirs[1], atol=1e-5)
