"""The files of an exported program: the core, the interface, the weights, and what builds and checks them."""

import re
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rnnkit.engines.compiled.cpu.kernel import headers
from rnnkit.engines.compiled.cpu.program import Program
from rnnkit.engines.compiled.plan.products import tiles
from rnnkit.engines.live.compiled import Compiled
from rnnkit.errors import UserError

TYPES = {
    torch.float32: "float",
    torch.float64: "double",
    torch.int64: "int64_t",
    torch.int32: "int32_t",
    torch.bool: "uint8_t",
}
STACK = 1 << 16
"""The most bytes of stack that a batched step takes."""
MOST_TOGETHER = 12
ENTRY = "void UNIT(long count, void* const* pointers, char* scratch)"
PLAIN = re.compile(r"static inline float from_bits.*(?=template <class S>\nstatic inline S relu_)", re.DOTALL)
"""The functions of pointwise.hpp that are C, beside those of other types."""


def write(frozen: Compiled, folder: Path, name: str, *, language: str, weights: str, bound: float) -> None:
    """Write all files of the program except the recorded outputs.

    Args:
        frozen: the step.
        folder: an existing folder.
        name: the prefix of files and functions.
        language: cpp or c.
        weights: arrays, or file for `NAME.weights`, which `NAME_load` takes.
        bound: the largest difference that `make check` accepts.

    Raises:
        UserError: if the step has an input or a type that the language does not support.
    """
    program, extension = frozen.program, language
    _check(program, language)
    core = _core_cpp(program) if language == "cpp" else _core_c(program)
    (folder / f"{name}_core.{extension}").write_text(core)
    values = _values(frozen, name, language=language, weights=weights) | {"BOUND": repr(bound)}
    for template, file in (
        ("interface.h.in", f"{name}.h"),
        ("interface.c.in", f"{name}.c"),
        ("main.c.in", "main.c"),
        ("check.c.in", f"check_{name}.c"),
        ("Makefile.in", "Makefile"),
        ("CMakeLists.txt.in", "CMakeLists.txt"),
    ):
        (folder / file).write_text(_filled(template, values))
    if weights == "file":
        (folder / f"{name}.weights").write_bytes(b"".join(_bytes(tensor) for _, tensor in sorted(_all(program))))
    else:
        arrays = [_array(f"{name}_weights_{n}", tensor) for n, tensor in _all(program)]
        text = "/* The weights, in the order in which the step reads them. */\n#include <stdint.h>\n\n"
        (folder / f"{name}_weights.c").write_text(text + "\n".join(arrays))


def _check(program: Program, language: str) -> None:
    used = {slot.dtype for slot in (*program.inputs, *program.state, *program.results)}
    used |= {tensor.dtype for tensor in program.constants.values()}
    fix = "model.float(), or --format onnx"
    if len(program.inputs) != 1:
        got = f"{len(program.inputs)} tensors"
        raise UserError("step", "one input tensor, for a program", got, fix="--format onnx")
    for dtype in used - TYPES.keys():
        raise UserError("step", "numbers of float, double or int64_t, for a program", str(dtype), fix=fix)
    if language == "c" and torch.float64 in used:
        raise UserError("step", "float32, for plain C", "float64", fix="--format cpp")
    if language == "c" and re.search(r"\bdouble\b|bf16", program.text):
        raise UserError("step", "arithmetic in float32, for plain C", "double", fix="--format cpp")


def _core_cpp(program: Program) -> str:
    runtime = tiles() + headers("pointwise.hpp", "step.hpp")
    return "\n".join(
        [
            "// One step of the model, compiled for one kind of processor.",
            "#include <cmath>\n#include <cstdint>\n#include <cstring>\n",
            "#ifndef UNIT\n#define UNIT step_baseline\n#endif\n",
            "namespace {",
            runtime,
            program.text,
            "}  // namespace\n",
            f'extern "C" {ENTRY} {{ step(count, pointers, scratch); }}\n',
        ]
    )


def _core_c(program: Program) -> str:
    text = re.sub(r"product_of_step<float, (\d+), (\d+)>\(B, ", r"product_float(B, \1, \2, ", program.text)
    functions = PLAIN.search(_pointwise())
    assert functions is not None
    other = ("static inline double", "static inline float to_bf16")
    plain = "\n".join(line for line in functions[0].splitlines() if not line.startswith(other))
    row = re.search(r"static inline int64_t row_.*", _pointwise())
    assert row is not None
    body = "\n".join([plain, row[0], "", text]).replace("std::", "")
    entry = f"{ENTRY};\n{ENTRY} {{ step(count, pointers, scratch); }}\n"
    return "\n".join([_template("runtime.h.in"), body, "#ifndef UNIT\n#define UNIT step_baseline\n#endif", entry])


def _pointwise() -> str:
    return headers("pointwise.hpp")


def _values(frozen: Compiled, name: str, *, language: str, weights: str) -> dict[str, Any]:
    program = frozen.program
    (given,) = program.inputs
    offsets, at = program.offsets, [0]
    for slot in program.results:
        at.append(at[-1] + -(-slot.bytes // 8) * 8)
    scratch, record = program.scratch, offsets[-1]
    each = record + at[-1] + scratch
    block = max(1, min(MOST_TOGETHER, STACK // max(each, 1)))
    leaves = [
        f"{{{slot.argument}, {end}, {slot.bytes}, {offset}}}"
        for slot, end, offset in zip(program.state, program.ends, offsets[:-1], strict=True)
    ]
    results = [f"{{{s.argument}, {s.bytes}, {offset}}}" for s, offset in zip(program.results, at[:-1], strict=True)]
    is_id = given.dtype in (torch.int64, torch.int32)
    inputs, limit = torch.Size(given.shape).numel(), frozen.limit
    bounds = f"  return input[0] >= 0 && input[0] < {limit};" if limit else "  (void)input;\n  return 1;"
    values = {
        "NAME": name,
        "TITLE": type(frozen.cell).__name__,
        "INPUTS": inputs,
        "INPUT_TEXT": "id" if is_id and inputs == 1 else "numbers",
        "OUTPUTS": torch.Size(frozen.y_shape).numel(),
        "INPUT_TYPE": TYPES[given.dtype],
        "OUTPUT_TYPE": TYPES[frozen.y_dtype],
        "PARSE": "strtoll(at, &end, 10)" if is_id else "strtod(at, &end)",
        "BLOCK": block,
        "ARGUMENTS": program.arguments,
        "LEAVES": len(leaves),
        "RESULTS": len(results),
        "OUTPUT": program.output,
        "INPUT": given.argument,
        "SCRATCH": scratch,
        "RECORD": record,
        "ROW": at[-1],
        "STATE_BYTES": each + 64,
        "LEAF": ", ".join([*leaves, "{-1, 0, 0, 0}"]),
        "RESULT": ", ".join(results),
        "INITIAL": ", ".join(map(str, [*frozen.initial.tolist(), 0])),
        "RANGE": bounds,
        "EXTENSION": language,
        "FLAGS": "-fno-exceptions -fno-rtti" if language == "cpp" else "",
        "COMPILER": "$(CXX)" if language == "cpp" else "$(CC)",
        "STANDARD": "-std=c++17" if language == "cpp" else "-std=c99",
        "UNITS": "avx2 avx512" if language == "cpp" else "",
        "X86": f"-D{name}_X86" if language == "cpp" else "",
        "CMAKE_CXX": " CXX" if language == "cpp" else "",
        "CMAKE_X86": "TRUE" if language == "cpp" else "FALSE",
    }
    return values | _weights(program, name, weights)


def _weights(program: Program, name: str, weights: str) -> dict[str, str]:
    """Return the parts of the files that differ with the place of the weights."""
    table = ["0"] * (program.arguments + 1)
    if weights == "arrays":
        externs = []
        for n, tensor in _all(program):
            table[n] = f"(void *){name}_weights_{n}"
            externs.append(f"extern const {TYPES[tensor.dtype]} {name}_weights_{n}[];")
        text = "\n".join([*externs, f"static void *const WEIGHT[ARGUMENTS + 1] = {{{', '.join(table)}}};", ""])
        parts = {"WEIGHTS": text, "WEIGHTS_OBJECT": f"{name}_weights.o", "WEIGHTS_SOURCE": f"{name}_weights.c"}
        return parts | {"LOAD_DECLARATION": "", "LOAD_FILE": "", "LOAD_CALL": ""}
    places, total = [], 0
    for n, tensor in _all(program):
        places.append(f"  WEIGHT[{n}] = (char *)bytes + {total};")
        total += len(_bytes(tensor))
    load = [
        "static void *WEIGHT[ARGUMENTS + 1];",
        "",
        f"int {name}_load(const void *bytes, size_t size) {{",
        f"  if (size != {total}) return -1;",
        *places,
        "  return 0;",
        "}",
        "",
    ]
    declaration = f"""
/* Takes the content of {name}.weights, which must stay in place, before the first step. Returns 0, or -1 for a file of
   another size. The content is aligned as by malloc. */
int {name}_load(const void *bytes, size_t size);
"""
    read = [
        f"static union {{ char bytes[{total} + 1]; double aligned; }} weights;",
        "static int load(void) {",
        f'  FILE *const file = fopen("{name}.weights", "rb");',
        "  const size_t size = file ? fread(weights.bytes, 1, sizeof(weights.bytes), file) : 0;",
        "  if (file) fclose(file);",
        f"  return {name}_load(weights.bytes, size);",
        "}",
    ]
    parts = {"WEIGHTS": "\n".join(load), "WEIGHTS_OBJECT": "", "WEIGHTS_SOURCE": ""}
    return parts | {
        "LOAD_DECLARATION": declaration,
        "LOAD_FILE": "\n".join(read),
        "LOAD_CALL": "\n  if (load()) return 3;",
    }


def _all(program: Program) -> list[tuple[int, Tensor]]:
    return sorted(program.constants.items(), key=lambda item: item[0])


def _bytes(tensor: Tensor) -> bytes:
    content = tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes()
    return content + bytes(-len(content) % 8)


def _array(name: str, tensor: Tensor) -> str:
    kind = TYPES[tensor.dtype]
    flat = tensor.contiguous().view(-1).numpy()
    if kind == "float":
        numbers = [_number(number, 9) for number in flat.astype(np.float64).tolist()]
    elif kind == "double":
        numbers = [_number(number, 17) for number in flat.tolist()]
    else:
        numbers = [str(int(number)) for number in flat.tolist()]
    rows = [", ".join(numbers[at : at + 8]) for at in range(0, len(numbers), 8)] or ["0"]
    content = ",\n  ".join(rows)
    return f"extern const {kind} {name}[];\nconst {kind} {name}[] = {{\n  {content}}};\n"


def _number(number: float, digits: int) -> str:
    if number != number:
        raise UserError("weights", "finite numbers", "NaN", fix="another checkpoint")
    return f"{number:.{digits}g}" if abs(number) < 3.5e38 or digits > 9 else ("-1e999" if number < 0 else "1e999")


def _filled(template: str, values: dict[str, Any]) -> str:
    return re.sub(r"@([A-Z_0-9]+)@", lambda found: str(values[found[1]]), _template(template))


def _template(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text()
