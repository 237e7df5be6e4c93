"""Builds the int8 network of MiniLM from its weights: a child process, since it takes seconds and 500 MB of memory.

Run as `python -P -m beastmode_plugins.minilm_build FOLDER`; FOLDER holds `model.safetensors`. It writes
`model-int8.onnx` and, last, a small file with its digest: what is not vouched for by that file is built again. Two
builds give the same bytes. Needs `onnx` and `onnxruntime`.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib
import json
import logging
import mmap
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

WEIGHTS = "model.safetensors"
NETWORK = "model-int8.onnx"
PROOF = "model-int8.json"
LOCK = ".build.lock"
RECIPE = 1
"""Counts up whenever the network that is built from the same weights changes."""

HEADS = 12
EPSILON = 1e-12
MASKED = -1e4
NICE = 10


class DamagedWeightsError(ValueError):
    """The weights are not what they should be."""


def proved(folder: Path) -> Path | None:
    """Finds the network, where it is whole. Reads all of it.

    Args:
        folder: Where it was built.
    """
    network = folder / NETWORK
    try:
        said = json.loads((folder / PROOF).read_bytes())
        found = hashlib.sha256(network.read_bytes()).hexdigest()
    except (OSError, ValueError, RecursionError):
        return None
    return network if isinstance(said, dict) and said == {"recipe": RECIPE, "sha256": found} else None


def read_weights(path: Path) -> dict[str, Any]:
    """Reads a file of safetensors without copying it.

    Args:
        path: The file.

    Returns:
        A numpy array by name.

    Raises:
        OSError: It can not be read.
        DamagedWeightsError: It is cut short, or none.
    """
    import numpy as np

    kinds = {"F32": np.float32, "F16": np.float16, "I64": np.int64}
    with path.open("rb") as file:
        try:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            size = int.from_bytes(data[:8], "little")
            head = json.loads(data[8 : 8 + size])
            head.pop("__metadata__", None)
            found = {}
            for name, about in head.items():
                start, end = (8 + size + at for at in about["data_offsets"])
                raw = np.frombuffer(memoryview(data)[start:end], kinds[about["dtype"]])
                found[name] = raw.reshape(about["shape"])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise DamagedWeightsError(f"{path} is damaged: {error}") from error
    return found


class _Graph:
    """A network in the making: nodes and constants."""

    def __init__(self, weights: dict[str, Any]) -> None:
        self.weights = weights
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, value: Any) -> str:
        """Adds an array and names it."""
        import numpy as np
        from onnx import numpy_helper

        name = f"c{len(self.constants)}"
        array = np.ascontiguousarray(value).reshape(np.shape(value))
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def whole(self, *values: int) -> str:
        """Adds a list of whole numbers and names it."""
        import numpy as np

        return self.constant(np.array(values, np.int64))

    def real(self, value: float) -> str:
        """Adds one number and names it."""
        import numpy as np

        return self.constant(np.float32(value))

    def node(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Adds an operation and names its output."""
        from onnx import helper

        output = output or f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], name=output, **attributes))
        return output

    def norm(self, value: str, name: str) -> str:
        """A layer norm."""
        scale, bias = (self.constant(self.weights[f"{name}.{part}"]) for part in ("weight", "bias"))
        return self.node("LayerNormalization", value, scale, bias, axis=-1, epsilon=EPSILON)

    def linear(self, value: str, name: str, factor: float = 1.0) -> str:
        """A linear layer, its result multiplied by `factor`."""
        import numpy as np

        weight, bias = (self.weights[f"{name}.{part}"] * np.float32(factor) for part in ("weight", "bias"))
        return self.node("Add", self.node("MatMul", value, self.constant(weight.T)), self.constant(bias))


def build_graph(weights: dict[str, Any]) -> bytes:
    """Makes the float32 network.

    Inputs are `input_ids` and `attention_mask`, int64[batch, length]. Outputs: `vector`, float32[batch, dim], the mean
    of the last layer; `tokens`, float32[batch, length, dim], the last layer. Every vector has length 1.

    Args:
        weights: Arrays by name, as all-MiniLM-L6-v2 has them.

    Raises:
        KeyError: One of them is missing.
    """
    from onnx import TensorProto, checker, helper

    graph = _Graph(weights)
    dim = weights["embeddings.word_embeddings.weight"].shape[1]
    real_mask = graph.node("Cast", "attention_mask", to=TensorProto.FLOAT)
    inverse = graph.node("Sub", graph.real(1.0), graph.node("Unsqueeze", real_mask, graph.whole(1, 2)))
    bias = graph.node("Mul", inverse, graph.real(MASKED))
    value = _embedded(graph)
    layer = 0
    while f"encoder.layer.{layer}.attention.self.query.weight" in weights:
        value = _layer(graph, value, bias, f"encoder.layer.{layer}.", dim)
        layer += 1
    _outputs(graph, value, real_mask)
    whole, real = TensorProto.INT64, TensorProto.FLOAT
    inputs = [helper.make_tensor_value_info(name, whole, ["b", "s"]) for name in ("input_ids", "attention_mask")]
    outputs = [
        helper.make_tensor_value_info("vector", real, ["b", dim]),
        helper.make_tensor_value_info("tokens", real, ["b", "s", dim]),
    ]
    made = helper.make_graph(graph.nodes, "minilm", inputs, outputs, graph.constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="beast")
    checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def _embedded(graph: _Graph) -> str:
    weights = graph.weights
    length = graph.node("Gather", graph.node("Shape", "input_ids"), graph.whole(1), axis=0)
    places = weights["embeddings.position_embeddings.weight"] + weights["embeddings.token_type_embeddings.weight"][0]
    place = graph.node("Slice", graph.constant(places), graph.whole(0), length, graph.whole(0))
    word = graph.node("Gather", graph.constant(weights["embeddings.word_embeddings.weight"]), "input_ids")
    return graph.norm(graph.node("Add", word, place), "embeddings.LayerNorm")


def _layer(graph: _Graph, value: str, bias: str, name: str, dim: int) -> str:
    attention = name + "attention.self."
    head_dim = dim // HEADS

    def head(which: str, order: list[int], factor: float = 1.0) -> str:
        flat = graph.linear(value, attention + which, factor)
        return graph.node("Transpose", graph.node("Reshape", flat, graph.whole(0, 0, HEADS, head_dim)), perm=order)

    query, key = head("query", [0, 2, 1, 3], head_dim**-0.5), head("key", [0, 2, 3, 1])
    looks = graph.node("Softmax", graph.node("Add", graph.node("MatMul", query, key), bias), axis=-1)
    seen = graph.node("Transpose", graph.node("MatMul", looks, head("value", [0, 2, 1, 3])), perm=[0, 2, 1, 3])
    joined = graph.linear(graph.node("Reshape", seen, graph.whole(0, 0, dim)), name + "attention.output.dense")
    value = graph.norm(graph.node("Add", joined, value), name + "attention.output.LayerNorm")
    wide = _gelu(graph, graph.linear(value, name + "intermediate.dense"))
    return graph.norm(graph.node("Add", graph.linear(wide, name + "output.dense"), value), name + "output.LayerNorm")


def _gelu(graph: _Graph, value: str) -> str:
    curve = graph.node("Erf", graph.node("Div", value, graph.real(2**0.5)))
    return graph.node("Mul", graph.node("Mul", value, graph.node("Add", curve, graph.real(1.0))), graph.real(0.5))


def _outputs(graph: _Graph, value: str, real_mask: str) -> None:
    mask = graph.node("Unsqueeze", real_mask, graph.whole(2))
    total = graph.node("ReduceSum", graph.node("Mul", value, mask), graph.whole(1), keepdims=0)
    mean = graph.node("Div", total, graph.node("ReduceSum", mask, graph.whole(1), keepdims=0))
    graph.node("LpNormalization", mean, output="vector", axis=-1, p=2)
    graph.node("LpNormalization", value, output="tokens", axis=-1, p=2)


def build(folder: Path) -> None:
    """Builds the network, unless a whole one is there; waits for whoever builds it already.

    Args:
        folder: Where the weights are.

    Raises:
        OSError: There are no weights, or no room.
        DamagedWeightsError: They are damaged.
        KeyError: They are those of another model.
    """
    with (folder / LOCK).open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if proved(folder) is None:
            with tempfile.TemporaryDirectory(prefix=".build-", dir=folder) as place:
                _build(folder, Path(place))


def _build(folder: Path, place: Path) -> None:
    quantization = importlib.import_module("onnxruntime.quantization")  # an optional extra, without types
    real, small, proof = place / "real.onnx", place / NETWORK, place / PROOF
    real.write_bytes(build_graph(read_weights(folder / WEIGHTS)))
    quantization.quantize_dynamic(real, small, per_channel=True, weight_type=quantization.QuantType.QInt8)
    proof.write_text(json.dumps({"recipe": RECIPE, "sha256": hashlib.sha256(small.read_bytes()).hexdigest()}))
    for path in (small, proof):
        with path.open("rb") as file:
            os.fsync(file.fileno())
    small.replace(folder / NETWORK)
    proof.replace(folder / PROOF)


def main(folder: str) -> int:
    """Builds in a folder, and prints one line where that fails.

    Args:
        folder: Where the weights are.

    Returns:
        0 where the network is there.
    """
    os.nice(NICE)
    logging.disable(logging.WARNING)  # advice about shapes, which this network does not need
    try:
        build(Path(folder))
    except Exception as error:
        print(f"{type(error).__name__}: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
