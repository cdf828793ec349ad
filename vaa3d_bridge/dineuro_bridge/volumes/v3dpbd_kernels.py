"""The compiled loops of `.v3dpbd`: packed runs, differences and literals, 8 and 16 bits.

Every code is decoded; only those that Vaa3D's own decoder knows are encoded. Arithmetic wraps, as
theirs does. A decoder returns (status, bytes read, samples written) and never looks beyond its
arrays. Compiled code is cached on disk.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

OK, TRUNCATED, OVERRUN, NO_PRIOR = 0, 1, 2, 3

# 8 bits: literals 0..32, 2-bit differences 33..127, runs 128..255.
_LITERALS8, _DIFFERENCES8, _RUN8 = 33, 95, 128
# 16 bits: literals 0..31, 3-bit differences 32..79, (4 and 5 bits, read only), runs 223..255.
_LITERALS16, _DIFFERENCES16, _RUN16 = 32, 48, 33


@njit(cache=True, nogil=True)
def decode8(stream: NDArray[np.uint8], out: NDArray[np.uint8]) -> tuple[int, int, int]:
    """Fill `out` from the stream of an 8-bit file."""
    i, o, n, total = 0, 0, len(stream), len(out)
    while o < total:
        if i >= n:
            return TRUNCATED, i, o
        code = np.int64(stream[i])
        if code <= 32:
            count = code + 1
            need = count
        elif code <= 127:
            count = code - 32
            need = (count + 3) // 4
        else:
            count = code - 127
            need = 1
        if o + count > total:
            return OVERRUN, i, o
        if i + 1 + need > n:
            return TRUNCATED, i, o
        if 32 < code <= 127 and o == 0:
            return NO_PRIOR, i, o
        i += 1
        if code <= 32:
            for k in range(count):
                out[o + k] = stream[i + k]
        elif code <= 127:
            value = out[o - 1]
            for k in range(count):
                bits = (stream[i + (k >> 2)] >> np.uint8(2 * (k & 3))) & np.uint8(3)
                value = np.uint8(value + (bits if bits < 3 else np.uint8(255)))
                out[o + k] = value
        else:
            out[o : o + count] = stream[i]
        i += need
        o += count
    return OK, i, o


@njit(cache=True, nogil=True)
def decode16(
    stream: NDArray[np.uint8], out: NDArray[np.uint16], big_endian: bool
) -> tuple[int, int, int]:
    """Fill `out` from the stream of a 16-bit file."""
    low, high = (1, 0) if big_endian else (0, 1)
    i, o, n, total = 0, 0, len(stream), len(out)
    while o < total:
        if i >= n:
            return TRUNCATED, i, o
        code = np.int64(stream[i])
        bits = 0
        if code <= 31:
            count = code + 1
            need = 2 * count
        elif code >= 223:
            count = code - 222
            need = 2
        else:
            bits = 3 if code <= 79 else 4 if code <= 182 else 5
            count = code - (31 if bits == 3 else 79 if bits == 4 else 182)
            need = (count * bits + 7) // 8
        if o + count > total:
            return OVERRUN, i, o
        if i + 1 + need > n:
            return TRUNCATED, i, o
        if bits and o == 0:
            return NO_PRIOR, i, o
        i += 1
        if code <= 31:
            for k in range(count):
                at = i + 2 * k
                out[o + k] = np.uint16(stream[at + low]) | (np.uint16(stream[at + high]) << 8)
        elif not bits:
            out[o : o + count] = np.uint16(stream[i + low]) | (np.uint16(stream[i + high]) << 8)
        else:
            value = np.int64(out[o - 1])
            middle = 1 << (bits - 1)
            held, have, at = 0, 0, i
            for k in range(count):
                while have < bits:
                    held = ((held << 8) | np.int64(stream[at])) & 0xFFFF
                    have += 8
                    at += 1
                have -= bits
                step = (held >> have) & ((1 << bits) - 1)
                value += step if step <= middle else middle - step
                out[o + k] = np.uint16(value & 0xFFFF)
        i += need
        o += count
    return OK, i, o


@njit(cache=True, nogil=True)
def _look_ahead(
    samples: NDArray[np.uint8],
    prior: int,
    most_down: int,
    most_up: int,
    longest_run: int,
    longest_steps: int,
    runs: NDArray[np.uint8],
    steps: NDArray[np.uint8],
) -> None:
    """For each sample: how many equal ones start here, and how many small differences.

    One pass from the end, without branches; the encoders then choose by looking up.
    """
    run, step = 1, 0
    for i in range(len(samples) - 1, -1, -1):
        if i > 0:
            before = np.int64(samples[i - 1])
        else:
            before = np.int64(prior) if prior >= 0 else np.int64(1 << 20)
        change = np.int64(samples[i]) - before
        step = min(step + 1, longest_steps) * (-most_down <= change <= most_up)
        runs[i] = run
        steps[i] = step
        run = min(run, longest_run - 1) * (change == 0) + 1


@njit(cache=True, nogil=True)
def encode8(
    samples: NDArray[np.uint8],
    prior: int,
    runs: NDArray[np.uint8],
    steps: NDArray[np.uint8],
    out: NDArray[np.uint8],
) -> int:
    """Pack samples; `prior` is the one before them, -1 at the stream's start.

    `runs` and `steps` are working room as long as the samples; `out` needs 34 bytes for every 33
    samples and as many again. Returns the bytes written. The choice is Vaa3D's: a run is worth
    run / 2, differences n / (n / 4 + 2), and what is worth no more than 1 becomes literals.
    """
    _look_ahead(samples, prior, 1, 2, _RUN8, _DIFFERENCES8, runs, steps)
    i, o, n = 0, 0, len(samples)
    literal = -1  # where the open literal's code byte stands
    while i < n:
        run, step = np.int64(runs[i]), np.int64(steps[i])
        if run < 3 and step < 3:
            if literal < 0 or out[literal] == _LITERALS8 - 1:
                literal = o
                out[o] = 0
                o += 1
            else:
                out[literal] += np.uint8(1)
            out[o] = samples[i]
            o += 1
            i += 1
            continue
        literal = -1
        if run >= 8 or run / 2 >= step / (step / 4 + 2):
            out[o] = np.uint8(127 + run)
            out[o + 1] = samples[i]
            o += 2
            i += run
            continue
        out[o] = np.uint8(32 + step)
        o += 1
        before = np.int64(samples[i - 1]) if i > 0 else np.int64(prior)
        held = 0
        for k in range(step):
            value = np.int64(samples[i + k])
            held |= ((value - before) & 3) << (2 * (k & 3))  # -1 is 3, as the format has it
            before = value
            if k & 3 == 3 or k == step - 1:
                out[o] = np.uint8(held)
                o += 1
                held = 0
        i += step
    return o


@njit(cache=True, nogil=True)
def encode16(
    samples: NDArray[np.uint16],
    prior: int,
    runs: NDArray[np.uint8],
    steps: NDArray[np.uint8],
    out: NDArray[np.uint8],
) -> int:
    """As `encode8` for 16 bits, little-endian; 65 bytes of room for every 32 samples, and more."""
    _look_ahead(samples, prior, 3, 4, _RUN16, _DIFFERENCES16, runs, steps)
    i, o, n = 0, 0, len(samples)
    literal = -1
    while i < n:
        run, step = np.int64(runs[i]), np.int64(steps[i])
        value = np.int64(samples[i])
        if run < 2 and step < 2:
            if literal < 0 or out[literal] == _LITERALS16 - 1:
                literal = o
                out[o] = 0
                o += 1
            else:
                out[literal] += np.uint8(1)
            out[o] = np.uint8(value & 255)
            out[o + 1] = np.uint8(value >> 8)
            o += 2
            i += 1
            continue
        literal = -1
        if run / 3 >= step / (3 * step / 8 + 2):
            out[o] = np.uint8(222 + run)
            out[o + 1] = np.uint8(value & 255)
            out[o + 2] = np.uint8(value >> 8)
            o += 3
            i += run
            continue
        out[o] = np.uint8(31 + step)
        o += 1
        before = np.int64(samples[i - 1]) if i > 0 else np.int64(prior)
        held, have = 0, 0
        for k in range(step):
            value = np.int64(samples[i + k])
            change = value - before
            before = value
            held = (held << 3) | (change if change >= 0 else 4 - change)
            have += 3
            if have >= 8:
                have -= 8
                out[o] = np.uint8((held >> have) & 255)
                o += 1
                held &= 0xFF
        if have:
            out[o] = np.uint8((held << (8 - have)) & 255)
            o += 1
        i += step
    return o
