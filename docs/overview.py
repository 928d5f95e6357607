"""Draw the picture at the head of the README: the loop of one training run.

python docs/overview.py            writes docs/pictures/overview.svg and overview.png
python docs/overview.py FOLDER     writes them there
"""

import sys
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch

LOSS, ENTROPY, CONTROL, INK = "#0072B2", "#D55E00", "#009E73", "#222222"
"""Blue, vermilion and green of Okabe and Ito, which colour-blind readers can tell apart; near black for the data."""

TOP, MIDDLE, BOTTOM, ABOVE = 3.1, 1.65, 0.4, 4.2
"""Heights of the data's way, the entropy's, the thermostat's, and of the loss's gradient."""


def box(axes: Axes, x: float, y: float, name: str, below: str, colour: str, width: float = 1.8) -> None:
    """Draw a box about (x, y): a name, and a line that explains it."""
    shape = FancyBboxPatch(
        (x - width / 2, y - 0.35), width, 0.7, boxstyle="round,pad=0,rounding_size=0.1", fc="white", ec=colour, lw=2
    )
    axes.add_patch(shape)
    axes.text(x, y + 0.13, name, ha="center", va="center", fontsize=13, fontweight="bold", color=colour)
    axes.text(x, y - 0.17, below, ha="center", va="center", fontsize=10.5, color=INK)


def way(axes: Axes, points: list[tuple[float, float]], colour: str, width: float = 2.0) -> None:
    """Draw straight lines through the points, with an arrowhead at the last one."""
    xs, ys = zip(*points[:-1], strict=True)
    axes.plot(xs, ys, color=colour, lw=width, solid_capstyle="round", solid_joinstyle="round")
    arrow = FancyArrowPatch(
        points[-2], points[-1], arrowstyle="-|>", mutation_scale=18, shrinkA=0, shrinkB=0, color=colour, lw=width
    )
    axes.add_patch(arrow)


def note(axes: Axes, x: float, y: float, text: str, colour: str, side: str = "center") -> None:
    """Write on a white ground what an arrow carries."""
    axes.text(
        x, y, text, ha=side, va="center", fontsize=11.5, color=colour, linespacing=1.25,
        bbox={"fc": "white", "ec": "none", "pad": 1.5},
    )  # fmt: skip


def draw() -> Figure:
    """Return the picture."""
    figure = Figure(figsize=(10, 4.75), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-0.05, 9.95), ylim=(-0.15, 4.6))
    axes.axis("off")
    data, encoder, z, head, loss = 0.9, 2.9, 5.0, 7.0, 9.0

    box(axes, data, TOP, "data", "inputs, labels", INK, 1.5)
    box(axes, encoder, TOP, "encoder", "parameters θ", INK)
    box(axes, z, TOP, "Z", "representation", INK, 1.6)
    box(axes, head, TOP, "head", "reads Z + noise", INK)
    box(axes, loss, TOP, "loss L", "of the predictions", LOSS, 1.6)
    for start, end in ((data + 0.75, encoder - 0.9), (encoder + 0.9, z - 0.8), (z + 0.8, head - 0.9)):
        way(axes, [(start, TOP), (end, TOP)], INK)
    way(axes, [(head + 0.9, TOP), (loss - 0.8, TOP)], INK)

    way(axes, [(loss, TOP + 0.35), (loss, ABOVE), (encoder, ABOVE), (encoder, TOP + 0.35)], LOSS)
    way(axes, [(head, ABOVE), (head, TOP + 0.35)], LOSS)
    note(axes, z, ABOVE, "∇L: the gradient of the loss", LOSS)

    box(axes, z, MIDDLE, "entropy S(Z)", "surrogate, in nats", ENTROPY, 2.1)
    way(axes, [(z, TOP - 0.35), (z, MIDDLE + 0.35)], INK)
    way(axes, [(z - 1.05, MIDDLE), (encoder + 0.22, MIDDLE)], ENTROPY)
    note(axes, 3.53, MIDDLE + 0.27, "∇S", ENTROPY)
    way(axes, [(encoder, MIDDLE + 0.22), (encoder, TOP - 0.35)], ENTROPY, 4.5)
    axes.add_patch(Circle((encoder, MIDDLE), 0.24, fc="white", ec=CONTROL, lw=2))
    axes.text(encoder, MIDDLE, "λ", ha="center", va="center", fontsize=15, fontweight="bold", color=CONTROL)
    note(axes, encoder - 0.2, 2.22, "force λ ∇S on θ:\ndoes it move θ?", ENTROPY, "right")

    box(axes, z, BOTTOM, "thermostat", "holds S at a set point", CONTROL, 2.5)
    way(axes, [(z, MIDDLE - 0.35), (z, BOTTOM + 0.35)], ENTROPY)
    note(axes, z + 0.15, 1.02, "reads S", ENTROPY, "left")
    way(axes, [(z - 1.25, BOTTOM), (encoder, BOTTOM), (encoder, MIDDLE - 0.24)], CONTROL)
    note(axes, encoder - 0.2, 0.85, "moves λ,\nonce an epoch", CONTROL, "right")
    box(axes, 8.1, BOTTOM, "human feedback", "may move the set point", CONTROL, 2.5)
    way(axes, [(8.1 - 1.25, BOTTOM), (z + 1.25, BOTTOM)], CONTROL)
    return figure


def main() -> None:
    """Write the picture as SVG and PNG, the same bytes each time."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context({"svg.hashsalt": "overview", "font.family": "DejaVu Sans"}):
        figure = draw()
        figure.savefig(folder / "overview.svg", metadata={"Date": None})
        figure.savefig(folder / "overview.png", dpi=100, metadata={"Software": None})


if __name__ == "__main__":
    main()
