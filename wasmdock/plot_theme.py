"""The colours of plots: variables of the page around an SVG, so that it can be dark, and a PNG's in their place."""

import re
from collections.abc import Mapping

# Colours that stand for a variable of the page's style sheet, and what a PNG takes instead (Okabe and Ito's palette).
INK, GRID = "#010101", "#020202"
SERIES = tuple(f"#0303{number:02x}" for number in range(9))
VARIABLES: Mapping[str, str] = {INK: "--ink", GRID: "--grid", **{c: f"--c{n}" for n, c in enumerate(SERIES)}}
LIGHT: Mapping[str, str] = {
    "--ink": "#1c1e21",
    "--grid": "#c9ced6",
    **{
        f"--c{number}": colour
        for number, colour in enumerate(
            ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#6b7280", "#8c6d1f", "#5b3fa0")
        )
    },
}
DARK: Mapping[str, str] = {
    "--ink": "#e6e8eb",
    "--grid": "#464c55",
    **{
        f"--c{number}": colour
        for number, colour in enumerate(
            ("#4db1ef", "#ff8a4c", "#3ddbae", "#eda3cb", "#f5c04a", "#8fd3f9", "#a3abb8", "#d8b45f", "#b79cf0")
        )
    },
}


def themed(svg: str, name: str) -> str:
    """An SVG document as an element of a page: colours are the page's variables, ids start with `name`, no size.

    The page gives the size; matplotlib's metadata, which names the web pages of vocabularies, is left out.
    """
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    prefix = re.sub(r"[^a-z]+", "-", name.lower())
    svg = re.sub(r'\bid="', f'id="{prefix}-', svg)
    svg = re.sub(r'(url\(#|href="#)', rf"\g<1>{prefix}-", svg)
    svg = re.sub(r'font-family: [^;"]*', "font-family: system-ui, sans-serif", svg)
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, f"var({variable})")
    return re.sub(r'<svg([^>]*?) width="[^"]*"', r"<svg\1", re.sub(r' height="[\d.]+pt"', "", svg, count=1), count=1)
