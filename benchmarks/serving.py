"""The application against a bare onnxruntime loop: throughput, tail, memory, lost requests.

One machine, loopback, one process of load. Both do the same work, the model's answer about one
aligned crop; the application also receives, decodes, checks, counts and answers JSON. The model is
a stack of convolutions with as much arithmetic as InceptionV3 at 299 px (11.4 GFLOP), unless
--release names a real one. The load is closed: as many clients as said, each asks again at once.

    .venv/bin/python benchmarks/serving.py [--quick] [--release DIR]
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import multiprocessing
import os
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import psutil
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from reporting import claim, table
from rich.console import Console

from data import contract

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))
from served import Server, serving, write_release  # noqa: E402 - the tests' server

CORES = os.cpu_count() or 1
CONCURRENCY = (1, 4, 16)
BOUNDARY = "genq"


def heavy_model(layers: int = 16, channels: int = 64) -> bytes:
    """A model by the contract that costs 11.4 GFLOP a crop of 178x218."""
    rng = np.random.default_rng(0)
    constants: dict[str, Any] = {"half": np.float32(0.5), "scale": np.float32(1 / 255)}
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["float", "scale"], ["scaled"]),
        helper.make_node("Transpose", ["scaled"], ["x0"], perm=[0, 3, 1, 2]),
    ]
    depth = 3
    for n in range(layers + 1):
        kernel = rng.normal(0, np.sqrt(2 / (9 * depth)), (channels, depth, 3, 3))
        constants[f"w{n}"] = kernel.astype(np.float32)
        stride = 2 if n == 0 else 1
        nodes += [
            helper.make_node(
                "Conv", [f"x{n}", f"w{n}"], [f"c{n}"], pads=[1] * 4, strides=[stride] * 2
            ),
            helper.make_node("Relu", [f"c{n}"], [f"x{n + 1}"]),
        ]
        depth = channels
    constants["head"] = rng.normal(0, 0.05, (channels, 1)).astype(np.float32)
    constants["one"] = np.array([-1], np.int64)
    nodes += [
        helper.make_node("GlobalAveragePool", [f"x{layers + 1}"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "head"], ["column"]),
        helper.make_node("Reshape", ["column", "one"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], [contract.P_POSITIVE]),
        helper.make_node("GreaterOrEqual", [contract.P_POSITIVE, "half"], ["is_positive"]),
        helper.make_node("Cast", ["is_positive"], [contract.LABEL], to=TensorProto.INT64),
        helper.make_node("Less", [contract.P_POSITIVE, "scale"], [contract.UNCERTAIN]),
    ]
    kinds = {
        contract.P_POSITIVE: TensorProto.FLOAT,
        contract.LABEL: TensorProto.INT64,
        contract.UNCERTAIN: TensorProto.BOOL,
    }
    shape = ["batch", "height", "width", 3]
    graph = helper.make_graph(
        nodes,
        "heavy",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info(name, kind, ["batch"]) for name, kind in kinds.items()],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )
    opset = [helper.make_opsetid("", 18)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def crop() -> bytes:
    """A JPEG of 178x218 as CelebA has them, about 8 kB."""
    noise = np.random.default_rng(0).integers(0, 256, (28, 23, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    image = Image.fromarray(noise).resize((178, 218), Image.Resampling.BICUBIC)
    image.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def bare_loop(model: bytes, threads: int, seconds: float) -> float:
    """Runs/s of the model alone, one shared session, `threads` at a time."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    image = np.asarray(Image.open(io.BytesIO(crop())))[None]
    session.run(None, {"image": image})
    end_s = time.perf_counter() + seconds

    def loop(_: int) -> int:
        count = 0
        while time.perf_counter() < end_s:
            session.run(None, {"image": image})
            count += 1
        return count

    started_s = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        total = sum(pool.map(loop, range(threads)))
    return total / (time.perf_counter() - started_s)


def load(port: int, clients: int, seconds: float, most: int) -> tuple[list[float], int, float]:
    """Asks for `seconds` or `most` requests.

    Returns:
      (latencies in ms, how many were not 200, seconds until the last answer).
    """
    began_s = time.perf_counter()
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="files"; filename="x.jpg"\r\n\r\n'
    body = head.encode() + crop() + f"\r\n--{BOUNDARY}--\r\n".encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    end_s = time.perf_counter() + seconds
    lock, left = threading.Lock(), most

    def client(_: int) -> tuple[list[float], int]:
        nonlocal left
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        taken_ms, lost = [], 0
        while time.perf_counter() < end_s:
            with lock:
                left -= 1
                if left < 0:
                    break
            started_s = time.perf_counter()
            connection.request("POST", "/v1/classify", body, headers)
            answer = connection.getresponse()
            answer.read()
            taken_ms.append(1000 * (time.perf_counter() - started_s))
            lost += answer.status != 200
        connection.close()
        return taken_ms, lost

    with ThreadPoolExecutor(clients) as pool:
        results = list(pool.map(client, range(clients)))
    took_s = time.perf_counter() - began_s
    return [t for times, _ in results for t in times], sum(n for _, n in results), took_s


def apart(function: Any, *arguments: Any) -> Any:
    """Calls in a process of its own, so that Python's lock is not shared."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def rss_mib(server: Server) -> float:
    """Resident memory of the server."""
    return float(psutil.Process(server.process.pid).memory_info().rss / 2**20)


def main() -> None:
    """Prints a table, and the claims as JSON in the last line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="Seconds; for the shape only.")
    parser.add_argument("--release", type=Path, help="A release's model.onnx instead of the stack.")
    arguments = parser.parse_args()
    seconds, rounds, many = (1.5, 1, 300) if arguments.quick else (10.0, 3, 10_000)
    model = (arguments.release / "model.onnx").read_bytes() if arguments.release else heavy_model()
    with tempfile.TemporaryDirectory(prefix="genq-serving-") as name:
        folder = Path(name)
        write_release(folder / "heavy" / "gender", 1, content=model)
        rows = {}
        with serving(folder / "heavy", folder) as server:
            port = int(server.url.rsplit(":", 1)[1])
            apart(load, port, 2, 1.0, 10**9)  # warm-up
            for clients in CONCURRENCY:
                measured = []
                for _ in range(rounds):  # in turn, so that both see the same machine
                    bare = apart(bare_loop, model, min(clients, CORES), seconds)
                    times, lost, took_s = apart(load, port, clients, seconds, 10**9)
                    measured.append((bare, len(times) / took_s, times, lost))
                rows[clients] = summary(measured)
        write_release(folder / "light" / "gender", 1)
        memory = measure_memory(folder, many)
        switched = measure_switches(folder, 5 if arguments.quick else 20)
    columns = ("clients", "ours/s", "bare/s", "share", "p50 ms", "p99 ms", "p99/p50", "lost")
    shown = []
    for clients, r in rows.items():
        cells = [f"{r[k]:.2f}" for k in ("ours", "bare", "share", "p50", "p99", "tail")]
        shown.append((str(clients), *cells, f"{r['lost']:.0f}"))
    console = Console()
    console.print(table("One crop a request, against the model alone", columns, shown))
    console.print(
        f"Memory: {memory[0]:.0f} MiB after {many // 10} requests, {memory[1]:.0f} after {many}."
    )
    console.print(
        f"{switched[0]} release switches under load: {switched[1]} requests, {switched[2]} lost."
    )
    claims = [
        claim(f"{n} clients", "requests/s", r["ours"], r["bare"], "bare onnxruntime", 0.9)
        for n, r in rows.items()
    ]
    claims += [
        claim("p99, 4 clients", "ms", rows[4]["p99"], rows[4]["p50"], "p50 of the same run", 2.5),
        claim(f"memory after {many} requests", "MiB", memory[1], memory[0],
              f"after {many // 10}", 1.05),
        claim(f"requests lost in {switched[0]} switches", "requests", switched[2], switched[1],
              "requests asked", 0.0),
    ]  # fmt: skip
    print(json.dumps(claims))


def summary(measured: list[tuple[float, float, list[float], int]]) -> dict[str, float]:
    """Medians over the rounds; the share is taken within each round."""
    p50 = float(np.median([np.percentile(times, 50) for _, _, times, _ in measured]))
    p99 = float(np.median([np.percentile(times, 99) for _, _, times, _ in measured]))
    return {
        "bare": float(np.median([m[0] for m in measured])),
        "ours": float(np.median([m[1] for m in measured])),
        "share": float(np.median([m[1] / m[0] for m in measured])),
        "p50": p50,
        "p99": p99,
        "tail": p99 / p50,
        "lost": float(sum(m[3] for m in measured)),
    }


def measure_memory(folder: Path, requests: int) -> tuple[float, float]:
    """MiB of the server after a tenth of the requests and after all; a small model, so quickly."""
    with serving(folder / "light", folder) as server:
        port = int(server.url.rsplit(":", 1)[1])
        apart(load, port, 4, 600.0, requests // 10)
        before = rss_mib(server)
        apart(load, port, 4, 600.0, requests - requests // 10)
        return before, rss_mib(server)


def measure_switches(folder: Path, switches: int) -> tuple[int, int, int]:
    """Publishes releases while four clients ask; returns switches, requests, lost ones."""
    with serving(folder / "light", folder) as server, ThreadPoolExecutor(1) as pool:
        port = int(server.url.rsplit(":", 1)[1])
        asked = pool.submit(apart, load, port, 4, switches * 0.6 + 2, 10**9)
        for n in range(switches):
            time.sleep(0.5)
            write_release(folder / "light" / "gender", 2 + n, slope=0.01 * (n + 1))
        server.wait_for(lambda: server.version() == 1 + switches, "the last switch")
        times, lost, _ = asked.result()
        return switches, len(times), lost


if __name__ == "__main__":
    main()
