"""What a run is printed as: the machine it ran on, and a table of ratios."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator

import scaling

LEGEND = """\
Each cell is the median over interleaved pairs, with quartiles: time of that column's contender / time of xentc.
Above 1 xentc is the faster. Under "roofline" it is the fraction of the memory's own speed (what must be read and
written once) that xentc reaches, and "-" where the arrays fit in cache or their traffic is not the limit; elsewhere "-"
means that the contender cannot do it, or was not asked. "fresh": large results go into arrays made by the call,
elsewhere into buffers that the caller keeps. Ge/s, 1e9 logits a second, moves with the machine's other load: compare
ratios."""

SETTINGS = ("OMP_WAIT_POLICY", "XENTC_ISA", "XLA_FLAGS")
BUSY = 0.5


def machine(threads: int, cores: int) -> dict[str, object]:
    return {
        "cpu": _cpu_name(),
        "architecture": platform.machine(),
        "system": platform.system(),
        "cores": cores,
        "threads": threads,
    }


def busy() -> float | None:
    """Processes that wanted a core in the last minute, before this run added its own."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


def header(run: dict) -> Iterator[str]:
    about = run["machine"]
    yield f"xentc     of commit {run['commit'] or 'unknown'}, {run['date']}"
    yield f"machine   {about['cpu']}, {about['cores']} cores, {about['system']} {about['architecture']}"
    yield f"threads   {about['threads']}"
    if run["load"] is not None:
        busy = "  (busy: short calls on several threads will be slow by any factor)" if run["load"] > BUSY else ""
        yield f"load      {run['load']:.2f}{busy}"
    yield "versions  " + ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    yield "kernels   {isa} (of {built}), OpenMP {openmp}".format(
        isa=run["config"]["isa"], built=", ".join(run["config"]["isa_built"]), openmp=run["config"]["openmp"] or "off"
    )
    for name, reason in run["missing"].items():
        yield f"missing   {name} ({reason})"
    for name, reason in run["skipped"].items():
        yield f"skipped   {name} ({reason})"
    for name, value in run["environment"].items():
        yield f"set       {name}={value}"


def settings() -> dict[str, str]:
    """What the caller's shell decides. Of threads it decides nothing: --threads does."""
    return {name: os.environ[name] for name in SETTINGS if name in os.environ}


def _cell(row: dict | None) -> str:
    if row is None:
        return "-"
    if "error" in row:
        return "ERROR"
    digits = 0 if row["median"] >= 100 else 1 if row["median"] >= 10 else 2
    return "{median:.{d}f} [{lower:.{d}f} {upper:.{d}f}]".format(d=digits, **row)


def _lines_of(results: list[dict], contenders: list[str]) -> Iterator[list[str]]:
    groups: dict[tuple[str, str, str], dict[str, dict]] = {}
    for row in results:
        groups.setdefault((row["case"], row["title"], row["answer"]), {})[row["contender"]] = row
    for (case, title, answer), rows in groups.items():
        speeds = sorted(row["elements"] / row["xentc_seconds"] / 1e9 for row in rows.values() if "error" not in row)
        speed = f"{speeds[len(speeds) // 2]:.3g}" if speeds else "-"
        yield [case, title, answer, speed, *(_cell(rows.get(name)) for name in contenders)]


def table(results: list[dict], contenders: list[str]) -> Iterator[str]:
    lines = [["case", "shape", "answer", "Ge/s", *contenders], *_lines_of(results, contenders)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = [text.ljust(width) for text, width in zip(line, widths, strict=True)]
        yield "  ".join(cells).rstrip()


def body(run: dict, contenders: list[str]) -> Iterator[str]:
    shown = [name for name in contenders if any(row["contender"] == name for row in run["results"])]
    yield from table(run["results"], shown)
    yield ""
    yield from LEGEND.splitlines()
    if run["scaling"]:
        yield ""
        yield from scaling.table(run["scaling"])
    found_late = [name for name in run["missing"] if "not installed" not in run["missing"][name]]
    for name in found_late:
        yield f"missing   {name} ({run['missing'][name]})"
    if run["left_out"]:
        yield f"left out, for want of time: {', '.join(run['left_out'])}"


def agreed(run: dict, contenders: list[str]) -> Iterator[str]:
    for name in contenders:
        rows = [row for row in run["results"] if row["contender"] == name]
        wrong = sum("error" in row for row in rows)
        if name not in run["missing"]:
            yield f"{name:18} {len(rows) - wrong:4} agree, {wrong} do not ({run['seconds'][name]:.0f} s)"
        elif "not installed" not in run["missing"][name]:
            yield f"{name:18} missing: {run['missing'][name]}"
