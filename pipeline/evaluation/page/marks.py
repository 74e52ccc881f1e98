"""How the real and the synthetic patients look in every plot: by shape as well as by colour."""

from __future__ import annotations

from pipeline.evaluation.page import parts, svg

SYNTHETIC_NAME = "synthetic"


def bars(real_name: str) -> str:
    """Of distributions of categories."""
    return parts.legend(
        [
            (svg.rect(0, 3, 26, 8, "real"), f"{real_name}: bar"),
            (svg.diamond(13, 7, "synthetic"), f"{SYNTHETIC_NAME}: diamond"),
        ]
    )


def outlines(real_name: str) -> str:
    """Of distributions of numbers."""
    return parts.legend(
        [
            (svg.rect(0, 2, 26, 11, "real-area"), f"{real_name}: filled"),
            (svg.path(((0, 7), (26, 7)), "synthetic-line"), f"{SYNTHETIC_NAME}: line"),
        ]
    )


def curves(real_name: str) -> str:
    """Of curves with bands."""
    return parts.legend(
        [
            (
                svg.rect(0, 1, 26, 12, "real-band") + svg.path(((0, 7), (26, 7)), "real-line"),
                f"{real_name}: solid line, with its 95% interval",
            ),
            (
                svg.rect(0, 1, 26, 12, "synthetic-band")
                + svg.path(((0, 7), (26, 7)), "synthetic-dashes"),
                f"{SYNTHETIC_NAME}: dashed line, with its 95% interval",
            ),
        ]
    )


def intervals(first: str, second: str) -> str:
    """Of dots with intervals."""
    return parts.legend(
        [
            (svg.line(0, 7, 26, 7, "real-line") + svg.circle(13, 7, "real"), f"{first}: circle"),
            (
                svg.line(0, 7, 26, 7, "synthetic-line") + svg.diamond(13, 7, "synthetic"),
                f"{second}: diamond",
            ),
        ]
    )
