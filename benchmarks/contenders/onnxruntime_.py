"""ONNX Runtime: LogSoftmax, GatherElements and ReduceMean in one model, its inputs and outputs bound once."""

import numpy as np
import onnxruntime
from onnx import TensorProto, helper

OPSET = 18
SETTLE_SECONDS = 0.1  # its threads spin for 40 ms after a call, and one of xentc's then waits for their core
# Its mean of 2^20 and more losses is a sum of floats.
TOLERANCES = {"f32": 2e-3, "f64": 1e-9}
TYPES = {"f32": TensorProto.FLOAT, "f64": TensorProto.DOUBLE}  # its CPU kernels have no LogSoftmax of bf16


def _model(nodes, inputs, outputs):
    graph = helper.make_graph(nodes, "loss", inputs, outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)


def _loss(case, kind):
    index_shape = (case.shape[0], 1, *case.shape[2:])
    nodes = [
        helper.make_node("LogSoftmax", ["logits"], ["log_probabilities"], axis=1),
        helper.make_node("GatherElements", ["log_probabilities", "target"], ["picked"], axis=1),
        helper.make_node("ReduceMean", ["picked"], ["mean"], keepdims=0),
        helper.make_node("Neg", ["mean"], ["result"]),
    ]
    inputs = [
        helper.make_tensor_value_info("logits", kind, case.shape),
        helper.make_tensor_value_info("target", TensorProto.INT64, index_shape),
    ]
    arrays = {"logits": case.logits, "target": case.target.reshape(index_shape)}
    outputs = {"result": (kind, (), np.zeros((), case.logits.dtype))}
    return nodes, inputs, arrays, outputs


MAPS = {"softmax": "Softmax", "log_softmax": "LogSoftmax"}


def _map(case, kind):
    nodes = [helper.make_node(MAPS[case.operation], ["logits"], ["result"])]
    inputs = [helper.make_tensor_value_info("logits", kind, case.shape)]
    return nodes, inputs, {"logits": case.logits}, {"result": (kind, case.shape, case.buffer)}


def forward(case):
    kind = TYPES.get(case.dtype)
    if kind is None or case.labels != "index" or case.operation not in ("cross_entropy", *MAPS):
        return None
    nodes, inputs, arrays, outputs = (_loss if case.operation == "cross_entropy" else _map)(case, kind)
    described = [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape, _) in outputs.items()]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = case.threads, 1
    model = _model(nodes, inputs, described).SerializeToString()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    of = onnxruntime.OrtValue.ortvalue_from_numpy
    held = [(of(array), array) for array in arrays.values()]
    for name, (value, _) in zip(arrays, held, strict=True):
        binding.bind_ortvalue_input(name, value)
    for name, (_, _, array) in outputs.items():
        held.append((of(array), array))
        binding.bind_ortvalue_output(name, held[-1][0])
    result = held[-1][0]
    run = session.run_with_iobinding

    def call():
        run(binding)
        return result

    return call


def forward_grad(case):
    return None  # it infers
