"""Make the example data: logits of two small networks on real pictures.

    pip install torch==2.15.0 numpy==2.4.6 scikit-learn==1.9.1 scipy==1.17.1 \
                pillow==13.0.0 safetensors==0.8.0
    python examples/data/make.py

writes, beside this script:

digits_images.npy   (1797, 64) u8      8x8 handwritten digits, grey levels 0..16
digits_labels.npy   (1797,) i64        the digit
digits_logits.npy   (1797, 10) f32     a two-layer perceptron's output
digits.safetensors                     "logits" and "labels", the same two arrays
photo.png           213x142 RGB        the photograph, reduced three times
photo_labels.npy    (1, 142, 213) u8   region of each pixel, 255 = unknown
photo_logits.npy    (1, 6, 142, 213) f32   a convolutional network's output

The digits are the UCI "Optical Recognition of Handwritten Digits" test set
(E. Alpaydin and C. Kaynak, CC BY 4.0) as scikit-learn bundles it. The perceptron
is trained on half of them and evaluated on all.

The photograph is scikit-learn's "china.jpg" by danielbuechele (CC BY 2.0,
https://www.flickr.com/photos/danielbuechele/6061409035/), here cropped by a
pixel and reduced to a third. No person labelled it. Its ground truth is made
so: k-means with 6 clusters on the smoothed colour and the position of every
pixel of the full-size photo; each reduced pixel stands for 3x3 full-size ones
and takes their cluster if at least 7 of the 9 agree, else it is 255. The
network sees only the colours of the reduced picture, never positions, and trains
on a fifth of its pixels, so it cannot tell some regions apart and fits others well.

Everything is seeded and the training runs in float64 on one thread, so a machine
repeats its own files; another processor may change the logits' last digits.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.numpy import save_file
from scipy.ndimage import gaussian_filter
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits, load_sample_image
from sklearn.model_selection import train_test_split
from torch import nn

HERE = Path(__file__).parent
UNKNOWN = 255
REGIONS = 6
FACTOR = 3


def save(name, array):
    np.save(HERE / name, np.ascontiguousarray(array))


def train(model, steps, rate, loss):
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    for _ in range(steps):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    model.requires_grad_(False)


def digits():
    data = load_digits()
    images, labels = data.data.astype(np.uint8), data.target.astype(np.int64)
    chosen, _ = train_test_split(
        np.arange(len(labels)), train_size=0.5, stratify=labels, random_state=0)

    torch.manual_seed(0)
    x, t = torch.from_numpy(images / 16.0), torch.from_numpy(labels)
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    train(model, 120, 0.01, lambda: F.cross_entropy(model(x[chosen]), t[chosen]))
    logits = model(x).numpy().astype(np.float32)

    save("digits_images.npy", images)
    save("digits_labels.npy", labels)
    save("digits_logits.npy", logits)
    save_file({"logits": logits, "labels": labels}, HERE / "digits.safetensors")
    return logits, labels


def regions(photo):
    """The cluster of every pixel of an (H, W, 3) photo in 0..1."""
    height, width, _ = photo.shape
    colour = gaussian_filter(photo, sigma=(3, 3, 0))
    y, x = np.mgrid[0:height, 0:width] / width
    features = np.dstack([colour, 0.5 * y, 0.5 * x]).reshape(-1, 5)
    some = np.random.default_rng(0).choice(len(features), 20_000, replace=False)
    clusters = KMeans(REGIONS, n_init=4, random_state=0).fit(features[some])
    return clusters.predict(features).reshape(height, width)


def blocks(array):
    """(H, W, ...) to (H/FACTOR, W/FACTOR, FACTOR*FACTOR, ...)."""
    h, w, *rest = array.shape
    split = array.reshape(h // FACTOR, FACTOR, w // FACTOR, FACTOR, *rest).swapaxes(1, 2)
    return split.reshape(h // FACTOR, w // FACTOR, FACTOR * FACTOR, *rest)


def photo():
    full = load_sample_image("china.jpg")
    height, width = (n // FACTOR * FACTOR for n in full.shape[:2])
    full = full[:height, :width] / 255.0

    votes = (blocks(regions(full))[..., None] == np.arange(REGIONS)).sum(axis=2)
    labels = np.where(votes.max(axis=2) >= 7, votes.argmax(axis=2), UNKNOWN)[None]
    small = np.round(blocks(full).mean(axis=2) * 255).astype(np.uint8)

    torch.manual_seed(1)
    x = torch.from_numpy(small / 255.0 - 0.5).permute(2, 0, 1)[None]
    fifth = np.random.default_rng(0).random(labels.shape) < 0.2
    seen = torch.from_numpy(np.where(fifth, labels, UNKNOWN))
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=2, dilation=2), nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=4, dilation=4), nn.ReLU(),
        nn.Conv2d(16, REGIONS, 1))
    train(model, 120, 0.01, lambda: F.cross_entropy(
        model(x), seen, ignore_index=UNKNOWN))
    logits = model(x).numpy().astype(np.float32)

    Image.fromarray(small).save(HERE / "photo.png", optimize=True)
    save("photo_labels.npy", labels.astype(np.uint8))
    save("photo_logits.npy", logits)
    return logits, labels


def report(name, logits, labels):
    """Rows of a Markdown table: PyTorch's losses in float64 of the float32 logits."""
    x, t = torch.from_numpy(logits).double(), torch.from_numpy(labels).long()
    each = F.cross_entropy(x, t, ignore_index=UNKNOWN, reduction="none")[t != UNKNOWN]
    right = (x.argmax(1) == t)[t != UNKNOWN].double().mean().item()
    rows = {
        "labels (not ignored)": f"{t.numel()} ({each.numel()})",
        "accuracy": f"{right:.4f}",
        "smallest, median, largest loss":
            f"{each.min():.3g}, {each.median():.3g}, {each.max():.3g}",
    }
    for reduction in ("mean", "sum"):
        for smoothing in (0.0, 0.1):
            value = F.cross_entropy(x, t, ignore_index=UNKNOWN, reduction=reduction,
                                    label_smoothing=smoothing).item()
            rows[f"{reduction}, label_smoothing {smoothing}"] = repr(value)
    for key, value in rows.items():
        print(f"| {name} | {key} | {value} |")


def main():
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    results = {"digits": digits(), "photo": photo()}

    print("| data | quantity | PyTorch float64 |\n|---|---|---|")
    for name, (logits, labels) in results.items():
        report(name, logits, labels)
    print("\n| file | bytes |\n|---|---|")
    files = sorted(p for p in HERE.iterdir() if p.suffix in (".npy", ".png", ".safetensors"))
    for path in files:
        print(f"| {path.name} | {path.stat().st_size} |")
    print(f"| total | {sum(p.stat().st_size for p in files)} |")


if __name__ == "__main__":
    main()
