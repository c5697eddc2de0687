"""A first look at Tarry: learn to read handwritten digits. Run it with ``python -m tarry.demo``.

The data are the 1797 scans of 8x8 pixels that come with scikit-learn. A small network is trained on 1437 of
them and tested on the other 360. The output directory gets a picture (``digits.png``) and a report
(``report.txt``).
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import tarry.core as mx
import tarry.nn as nn
import tarry.optimizers as optim

CLASSES = 10
PIXELS = 64
TRAINING_SIZE = 1437
SHOWN_DIGITS = 60


class Network(nn.Module):
    """Multi-layer perceptron: 64 pixels, hidden layers of 128 and 64 units, 10 logits."""

    def __init__(self, dropout: float = 0.1) -> None:
        super().__init__()
        self.layers = [nn.Linear(PIXELS, 128), nn.Linear(128, 64), nn.Linear(64, CLASSES)]
        self.dropout = nn.Dropout(dropout)

    def __call__(self, x: mx.array) -> mx.array:
        for layer in self.layers[:-1]:
            x = self.dropout(nn.gelu(layer(x)))
        return self.layers[-1](x)


class Digits:
    """Images of shape (n, 64) in [0, 1], float32, and labels of shape (n,), int32; for training and for
    testing.
    """

    def __init__(self, seed: int) -> None:
        bunch = import_extra("sklearn.datasets").load_digits()
        order = np.random.default_rng(seed).permutation(len(bunch.target))
        images = (bunch.data[order] / 16.0).astype(np.float32)
        labels = bunch.target[order].astype(np.int32)
        self.training_images, self.test_images = images[:TRAINING_SIZE], images[TRAINING_SIZE:]
        self.training_labels, self.test_labels = labels[:TRAINING_SIZE], labels[TRAINING_SIZE:]


class History:
    """What was measured: one entry per epoch, and the time of each step in seconds."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.training_accuracies: list[float] = []
        self.test_accuracies: list[float] = []
        self.step_seconds: list[float] = []


def import_extra(name: str) -> Any:
    """Import a package that only the demo needs, or stop with a hint how to get it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise SystemExit(
            f"[tarry.demo] {name.partition('.')[0]} could not be imported ({error}). "
            "The demo needs a few packages more: pip install tarry[demo]"
        ) from None


def iterate_batches(
    images: np.ndarray, labels: np.ndarray, batch_size: int, generator: np.random.Generator
) -> Iterator[tuple[mx.array, mx.array]]:
    """Shuffled mini-batches; the last one holds what is left."""
    order = generator.permutation(len(labels))
    for start in range(0, len(labels), batch_size):
        chosen = order[start : start + batch_size]
        yield mx.array(images[chosen]), mx.array(labels[chosen])


def loss_and_hits(model: Network, images: mx.array, labels: mx.array) -> tuple[mx.array, mx.array]:
    """Mean cross-entropy, and how many images are classified correctly."""
    logits = model(images)
    hits = mx.sum(mx.equal(mx.argmax(logits, axis=-1), labels))
    return nn.losses.cross_entropy(logits, labels, reduction="mean"), hits


def train(model: Network, digits: Digits, options: argparse.Namespace) -> History:
    """Adam on mini-batches, with a progress bar on standard error."""
    history = History()
    optimizer = optim.Adam(learning_rate=options.learning_rate)
    step_gradients = nn.value_and_grad(model, lambda x, y: loss_and_hits(model, x, y))
    generator = np.random.default_rng(options.seed)
    bar = import_extra("tqdm").tqdm(range(options.epochs), unit="epoch", disable=not options.progress)
    for _ in bar:
        total_loss, total_hits = 0.0, 0
        model.train()
        batches = iterate_batches(
            digits.training_images, digits.training_labels, options.batch_size, generator
        )
        for images, labels in batches:
            started = time.perf_counter()
            (loss, hits), gradients = step_gradients(images, labels)
            optimizer.update(model, gradients)
            # One evaluation for the whole step: everything in it is compiled together.
            mx.eval(loss, hits, model.parameters(), optimizer.state)
            history.step_seconds.append(time.perf_counter() - started)
            total_loss += loss.item() * len(labels)
            total_hits += int(hits.item())
        predictions = predict(model, digits.test_images)
        history.losses.append(total_loss / TRAINING_SIZE)
        history.training_accuracies.append(total_hits / TRAINING_SIZE)
        history.test_accuracies.append(float(np.mean(predictions == digits.test_labels)))
        bar.set_postfix(
            loss=f"{history.losses[-1]:.3f}",
            accuracy=f"{history.training_accuracies[-1]:.3f}",
            test=f"{history.test_accuracies[-1]:.3f}",
        )
    return history


def predict(model: Network, images: np.ndarray) -> np.ndarray:
    """The most likely class of each image, without dropout."""
    model.eval()
    return np.array(mx.argmax(model(mx.array(images)), axis=-1))


def draw(history: History, digits: Digits, predictions: np.ndarray, path: Path) -> None:
    """Learning curves, and test digits with their predictions: wrong ones first and in red."""
    matplotlib = import_extra("matplotlib")
    matplotlib.use("Agg")
    pyplot = import_extra("matplotlib.pyplot")
    figure = pyplot.figure(figsize=(13, 6), layout="constrained")
    curves, scans = figure.subfigures(1, 2, width_ratios=(1, 1.3))
    draw_curves(history, curves)
    is_right = predictions == digits.test_labels
    # A stable sort brings the errors to the front and keeps the order otherwise.
    shown = np.argsort(is_right, kind="stable")[:SHOWN_DIGITS]
    axes = scans.subplots(6, SHOWN_DIGITS // 6)
    for axis, index in zip(axes.flat, shown):
        axis.imshow(digits.test_images[index].reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
        axis.set_xticks([])
        axis.set_yticks([])
        wrong = not is_right[index]
        title = f"{predictions[index]} (is {digits.test_labels[index]})" if wrong else f"{predictions[index]}"
        axis.set_title(title, fontsize=8, color="red" if wrong else "black", pad=2)
        for spine in axis.spines.values():
            spine.set_edgecolor("red" if wrong else "lightgray")
            spine.set_linewidth(2.0 if wrong else 0.8)
    errors = int(np.sum(~is_right))
    scans.suptitle(f"Test digits and predictions ({errors} of {len(predictions)} wrong, in red)")
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def draw_curves(history: History, figure: Any) -> None:
    """The loss and both accuracies over the epochs."""
    epochs = range(1, len(history.losses) + 1)
    loss_axis, accuracy_axis = figure.subplots(2, 1, sharex=True)
    loss_axis.plot(epochs, history.losses, color="tab:blue", marker=".")
    loss_axis.set_yscale("log")
    loss_axis.set_ylabel("training loss (cross-entropy)")
    accuracy_axis.plot(epochs, history.training_accuracies, color="tab:blue", label="training (with dropout)")
    accuracy_axis.plot(epochs, history.test_accuracies, color="tab:orange", label="test")
    accuracy_axis.set_ylabel("accuracy")
    accuracy_axis.set_xlabel("epoch")
    accuracy_axis.set_ylim(top=1.0)
    accuracy_axis.legend(loc="lower right")
    for axis in (loss_axis, accuracy_axis):
        axis.grid(alpha=0.3)


def write_report(history: History, options: argparse.Namespace, seconds: float) -> str:
    """The numbers of the run as lines of text."""
    counters = mx.counters()
    steps = len(history.step_seconds)
    # The first step compiles; the median is not touched by that.
    usual_step = float(np.median(history.step_seconds))
    rows = [
        ("test accuracy", f"{history.test_accuracies[-1]:.4f}"),
        ("final training loss", f"{history.losses[-1]:.4f}"),
        ("epochs, batch size, seed", f"{options.epochs}, {options.batch_size}, {options.seed}"),
        ("steps", f"{steps}"),
        ("steps per second", f"{steps / sum(history.step_seconds):.0f} (median step: {1 / usual_step:.0f})"),
        ("first step", f"{history.step_seconds[0] * 1e3:.0f} ms (compiles, or loads what is compiled)"),
        ("kernels compiled", f"{counters['kernels_compiled']}"),
        ("kernels loaded from disk", f"{counters['kernels_loaded']}"),
        ("compile time", f"{counters['compile_seconds']:.2f} s"),
        ("plans built", f"{counters['plans_built']}"),
        ("plans reused", f"{counters['plans_reused']}"),
        ("peak memory", f"{mx.get_peak_memory() / 2**20:.1f} MiB"),
        ("total time", f"{seconds:.1f} s"),
    ]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows) + "\n"


def positive(kind: type) -> Any:
    """An argparse type: a number of the given kind above zero."""

    def parse(text: str) -> Any:
        value = kind(text)
        if not value > 0:
            raise argparse.ArgumentTypeError(f"expected a number above 0, got {text}")
        return value

    parse.__name__ = kind.__name__
    return parse


def seed_number(text: str) -> int:
    """An argparse type: what NumPy and mx.random both take for a seed."""
    value = int(text)
    if not 0 <= value < 2**64:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 2**64 - 1, got {text}")
    return value


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tarry.demo",
        description="Train a small network on handwritten digits; write a picture and a report.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--epochs", type=positive(int), default=35, help="passes over the training data")
    parser.add_argument("--batch-size", type=positive(int), default=64, help="images per step")
    parser.add_argument("--learning-rate", type=positive(float), default=2e-3, help="step size of Adam")
    parser.add_argument("--seed", type=seed_number, default=0, help="for the data, weights and order")
    parser.add_argument("--output", type=Path, default=Path("tarry-demo"), help="directory for results")
    parser.add_argument("--no-progress", dest="progress", action="store_false", help="no progress bar")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run the demo; the result is the exit status."""
    options = parse_arguments(arguments)
    # Before the training: a missing package or a path that is no directory should be known at once.
    import_extra("matplotlib")
    try:
        options.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        print(f"[tarry.demo] cannot make the output directory {options.output}: {error}", file=sys.stderr)
        return 1
    started = time.perf_counter()
    digits = Digits(options.seed)
    mx.random.seed(options.seed)
    model = Network()
    history = train(model, digits, options)
    seconds = time.perf_counter() - started
    picture = options.output / "digits.png"
    draw(history, digits, predict(model, digits.test_images), picture)
    report = write_report(history, options, seconds)
    report_path = options.output / "report.txt"
    report_path.write_text(report, encoding="utf-8")
    print(report, end="")
    print(f"picture: {picture}\nreport:  {report_path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
