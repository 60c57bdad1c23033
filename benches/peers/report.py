"""What came out: answers checked, tables for people, JSON for programs."""

import json
import math
import os
import pathlib

from contenders import CONTENDERS, PASSES, ROUNDING

# A contender further off than this, relative to the truth, is wrong: sums in f32 stay within it.
TOLERANCE = 1e-5
# What is stored in a type of fewer bits may be further off by so many roundings to it. PyTorch has up to
# four one after the other: of a row's log-probability, of the rows' sum, of the mean, of a probability.
ROUNDINGS = 4


# --- Checking -------------------------------------------------------------------------------------


def check(cells, truth):
    """Says how far off the loss of each measured cell is, and marks those that are wrong."""
    for cell in cells:
        wanted, grad = truth["loss"], truth["grad_dot"]
        tolerance = TOLERANCE + ROUNDINGS * ROUNDING[cell["loss_type"]]
        cell["loss_error"] = None if cell["loss"] is None else abs(cell["loss"] - wanted) / abs(wanted)
        cell["wrong"] = []
        if far(cell["loss"], wanted, tolerance * abs(wanted)):
            cell["wrong"].append(f"loss {digits(cell['loss'])}, {digits(wanted)} in float64")
        tolerance = TOLERANCE + ROUNDINGS * ROUNDING[cell["dtype"]]
        if cell["pass"] == "forward+backward" and far(cell["grad_dot"], grad, tolerance * truth["grad_scale"]):
            what = f"gradient times logits {digits(cell['grad_dot'])}, {digits(grad)} in float64"
            cell["wrong"].append(what + (f" rounded to {cell['dtype']}" if cell["dtype"] != "f32" else ""))


def far(got, wanted, most):
    # Written so that NaN is far from everything.
    return got is None or not abs(got - wanted) <= most


def digits(value):
    return "no finite number" if value is None else f"{value:.7g}"


# --- Writing --------------------------------------------------------------------------------------


class Notes:
    """Numbered notes under the tables; the same text has one number."""

    def __init__(self):
        self.texts = []

    def mark(self, text):
        if text not in self.texts:
            self.texts.append(text)
        return f" [{self.texts.index(text) + 1}]"


def number(ms):
    """Three digits that count."""
    places = max(0, 2 - math.floor(math.log10(ms))) if ms > 0 else 0
    return f"{ms:.{places}f}"


def entry(cell, notes):
    """A cell as text."""
    title = CONTENDERS[cell["name"]].title
    if "median_ms" not in cell:
        return "-" + notes.mark(f"{title}: {cell['reason']}")
    text = number(cell["median_ms"])
    if cell["wrong"]:
        size = "x".join(map(str, cell["shape"]))
        text += " **wrong**" + notes.mark(f"{title}, {size} {cell['dtype']}: {'; '.join(cell['wrong'])}")
    if cell["note"]:
        text += notes.mark(f"{title}: {cell['note']}")
    return text


def table(cells, notes):
    """The table of one type and pass: contenders down, shapes across."""
    shapes = list(dict.fromkeys(tuple(cell["shape"]) for cell in cells))
    rows = ["| | " + " | ".join(map(str, shapes)) + " |", "|---" * (len(shapes) + 1) + "|"]
    for name in CONTENDERS:
        own = [cell for cell in cells if cell["name"] == name]
        # A contender that knows no such logits has no row.
        if not own or all(cell.get("left_out") for cell in own):
            continue
        title = CONTENDERS[name].title
        rows.append(f"| {title} | " + " | ".join(entry(cell, notes) for cell in own) + " |")
        times = [cell.get("device_median_ms") for cell in own]
        if any(times):
            line = [number(ms) if ms else "-" for ms in times]
            rows.append(f"| {title}, by the GPU's clock | " + " | ".join(line) + " |")
    return rows


def errors(cells):
    """The table of the largest errors of the loss: contenders down, types across."""
    dtypes = list(dict.fromkeys(cell["dtype"] for cell in cells))
    rows = ["| | " + " | ".join(dtypes) + " |", "|---" * (len(dtypes) + 1) + "|"]
    for name in CONTENDERS:
        own = [cell for cell in cells if cell["name"] == name and cell.get("loss_error") is not None]
        found = [[cell["loss_error"] for cell in own if cell["dtype"] == dtype] for dtype in dtypes]
        if own:
            line = [f"{max(values):.1e}" if values else "-" for values in found]
            rows.append(f"| {CONTENDERS[name].title} | " + " | ".join(line) + " |")
    return rows


def markdown(about, reasons, cells):
    """The report for people."""
    notes = Notes()
    lines = ["# Cross-entropy beside other libraries", "",
             "Medians in milliseconds, from the call to the end of the work, and by the GPU's clock where a row "
             "says so; labels i64, the mean.", ""]
    lines += [f"- {what}: {text}" for what, text in about.items() if isinstance(text, str)]
    lines += [f"- CPU threads: {about['threads']}"]
    lines += ["- versions: " + ", ".join(f"{name} {text}" for name, text in about["versions"].items())]
    for dtype in dict.fromkeys(cell["dtype"] for cell in cells):
        for which in PASSES:
            own = [cell for cell in cells if (cell["dtype"], cell["pass"]) == (dtype, which)]
            lines += ["", f"## {which.capitalize()}, {dtype}", "", *table(own, notes)]
    lines += ["", "## Largest error of the loss, relative to float64", "", *errors(cells)]
    lines += [""] + [f"{i + 1}. {text}" for i, text in enumerate(notes.texts)]
    if reasons:
        left_out = [f"- {CONTENDERS[name].title}: {why}" for name, why in reasons.items()]
        lines += ["", "Left out:", "", *left_out]
    return "\n".join(lines) + "\n"


def write(out, about, reasons, truths, cells):
    """Writes both files, each as a whole: what was there stays if this is cut off. Returns the report."""
    report = markdown(about, reasons, cells)
    everything = about | {"left_out": reasons, "truth": truths, "results": cells}
    out.parent.mkdir(parents=True, exist_ok=True)
    for suffix, text in [("json", json.dumps(everything, indent=1) + "\n"), ("md", report)]:
        path, new = pathlib.Path(f"{out}.{suffix}"), pathlib.Path(f"{out}.{suffix}.new")
        new.write_text(text)
        os.replace(new, path)
    return report
