"""Small ICC profiles, and the sRGB value of a colour by published formulas, without a colour library.

Primaries and white points: IEC 61966-2-1 (sRGB), SMPTE EG 432-1 (Display P3), Adobe RGB (1998), ISO 22028-2 (ROMM, also
known as ProPhoto). Profiles hold colours adapted to D50 by Bradford's matrix, as ICC.1 requires.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

Vector = Sequence[float]
Matrix = Sequence[Vector]
D50 = (0.9642, 1.0, 0.8249)
D65, D50_XY = (0.3127, 0.3290), (0.345704, 0.358540)
BRADFORD = ((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296))
PRIMARIES = {
    "sRGB": ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), D65),
    "Display P3": ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), D65),
    "Adobe RGB": ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06), D65),
    "ProPhoto": ((0.734699, 0.265301), (0.159597, 0.840403), (0.036598, 0.000105), D50_XY),
}
GAMMAS = {"Adobe RGB": 563 / 256, "ProPhoto": 1.8}  # the others have the curve of sRGB


# --- Matrices ---------------------------------------------------------------------------------------
def times(matrix: Matrix, vector: Vector) -> list[float]:
    return [sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix]


def product(one: Matrix, two: Matrix) -> list[list[float]]:
    return [[sum(row[k] * two[k][column] for k in range(3)) for column in range(3)] for row in one]


def inverse(m: Matrix) -> list[list[float]]:
    (a, b, c), (d, e, f), (g, h, i) = m
    scale = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
    rows = ((e * i - f * h, c * h - b * i, b * f - c * e), (f * g - d * i, a * i - c * g, c * d - a * f))
    rows += ((d * h - e * g, b * g - a * h, a * e - b * d),)
    return [[value / scale for value in row] for row in rows]


def xyz_of(x: float, y: float) -> list[float]:
    return [x / y, 1.0, (1 - x - y) / y]


def to_d50(space: str) -> list[list[float]]:
    """Return the matrix from linear RGB to XYZ under D50."""
    *primaries, white = PRIMARIES[space]
    columns = [xyz_of(*xy) for xy in primaries]
    by_row = [[column[row] for column in columns] for row in range(3)]
    scales = times(inverse(by_row), xyz_of(*white))
    linear = [[value * scale for value, scale in zip(row, scales, strict=True)] for row in by_row]
    seen, wanted = times(BRADFORD, xyz_of(*white)), times(BRADFORD, D50)
    ratio = [[wanted[n] / seen[n] if n == k else 0.0 for k in range(3)] for n in range(3)]
    return product(product(inverse(BRADFORD), product(ratio, BRADFORD)), linear)


# --- The right value --------------------------------------------------------------------------------
def decoded(space: str, value: float) -> float:
    if space in GAMMAS:
        return value ** GAMMAS[space]
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def encoded(linear: float) -> int:
    linear = min(max(linear, 0.0), 1.0)
    value = linear * 12.92 if linear <= 0.0031308 else 1.055 * linear ** (1 / 2.4) - 0.055
    return round(value * 255)


def srgb_of_xyz(xyz: Vector) -> tuple[int, ...]:
    return tuple(encoded(value) for value in times(inverse(to_d50("sRGB")), xyz))


def srgb(space: str, colour: Sequence[int]) -> tuple[int, ...]:
    return srgb_of_xyz(times(to_d50(space), [decoded(space, value / 255) for value in colour]))


def xyz_of_lab(lightness: float, a: float, b: float) -> list[float]:
    y = (lightness + 16) / 116
    roots = (y + a / 500, y, y - b / 200)
    cubes = [root**3 if root > 6 / 29 else 3 * (6 / 29) ** 2 * (root - 4 / 29) for root in roots]
    return [white * cube for white, cube in zip(D50, cubes, strict=True)]


# --- Profiles ---------------------------------------------------------------------------------------
def fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def xyz_tag(xyz: Vector) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(map(fixed, xyz))


def curve_tag(space: str) -> bytes:
    if space in GAMMAS:
        return b"para" + bytes(4) + struct.pack(">HH", 0, 0) + fixed(GAMMAS[space])
    parts = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    return b"para" + bytes(4) + struct.pack(">HH", 3, 0) + b"".join(map(fixed, parts))


def assembled(space: bytes, tags: dict[bytes, bytes], *, pcs: bytes = b"XYZ ", kind: bytes = b"mntr") -> bytes:
    text = b"mluc" + bytes(4) + struct.pack(">II4sII", 1, 12, b"enUS", 8, 28) + "test".encode("utf-16-be")
    tags = {b"desc": text, b"cprt": text, b"wtpt": xyz_tag(D50), **tags}
    table, data = struct.pack(">I", len(tags)), b""
    begin = 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">II", begin + len(data), len(content))
        data += content + bytes(-len(content) % 4)
    size = 128 + len(table) + len(data)
    header = struct.pack(">I4xI4s4s4s12x4s", size, 0x04200000, kind, space, pcs, b"acsp") + bytes(28)
    return (header + b"".join(map(fixed, D50))).ljust(128, b"\0") + table + data


def rgb_profile(space: str) -> bytes:
    return assembled(b"RGB ", matrix_tags(space))


def matrix_tags(space: str) -> dict[bytes, bytes]:
    matrix = to_d50(space)
    tags = {name: xyz_tag([row[n] for row in matrix]) for n, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))}
    return tags | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve_tag(space))


def profile_of_steps(count: int, matrix: Matrix, more: dict[bytes, bytes] | None = None) -> bytes:
    """Return a profile with `count` steps of the same matrix (multiProcessElementsType) besides the other tags."""
    numbers = [value for row in matrix for value in row] + [0.0] * 3
    step = b"matf" + bytes(4) + struct.pack(">HH12f", 3, 3, *numbers)
    head = b"mpet" + bytes(4) + struct.pack(">HHI", 3, 3, count)
    steps = head + struct.pack(">II", len(head) + 8 * count, len(step)) * count + step
    return assembled(b"RGB ", {b"D2B1": steps, **(more or {})})


def grey_profile(gamma: float) -> bytes:
    return assembled(b"GRAY", {b"kTRC": b"para" + bytes(4) + struct.pack(">HH", 0, 0) + fixed(gamma)})


def cmyk_profile(lab: Callable[[float, float, float, float], Vector], grid: int = 9) -> bytes:
    """Return a table of `grid`⁴ colours in Lab as an `mft2` tag (lut16Type). Version 2 encodes Lab's 100 as 0xFF00."""
    points = [number / (grid - 1) for number in range(grid)]
    values = b""
    for c in points:
        for m in points:
            for y in points:
                for k in points:
                    lightness, a, b = lab(c, m, y, k)
                    values += struct.pack(
                        ">HHH", round(lightness / 100 * 0xFF00), round((a + 128) * 256), round((b + 128) * 256)
                    )
    identity = b"".join(fixed(float(row == column)) for row in range(3) for column in range(3))
    head = b"mft2" + bytes(4) + struct.pack(">BBBx", 4, 3, grid) + identity + struct.pack(">HH", 2, 2)
    ramp = struct.pack(">HH", 0, 0xFFFF)
    return assembled(b"CMYK", {b"A2B0": head + ramp * 4 + values + ramp * 3}, pcs=b"Lab ", kind=b"prtr")
