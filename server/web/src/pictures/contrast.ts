// Window, level and gamma: the brightness of each grey value.

export interface Contrast {
  window: number; // the range of grey values from black to white
  level: number; // its middle
  gamma: number;
}
export const PLAIN: Contrast = { window: 255, level: 127.5, gamma: 1 };

/** The brightness of the 256 grey values, 0 to 255. */
export function table({ window, level, gamma }: Contrast): Uint8ClampedArray {
  const black = level - window / 2;
  return Uint8ClampedArray.from(
    { length: 256 },
    (_, grey) => 255 * Math.max(0, Math.min(1, (grey - black) / window)) ** (1 / gamma),
  );
}

/** A contrast by the grey values of a slice: half of its background is black, its brightest white. */
export function automatic(values: Uint8Array[]): Contrast {
  const counts = new Float64Array(256);
  for (const part of values) for (let i = 0; i < part.length; i += 3) counts[part[i]!]!++;
  const total = counts.reduce((sum, n) => sum + n, 0);
  const quantile = (share: number): number => {
    let grey = 0;
    for (let sum = counts[0]!; sum < share * total && grey < 255; sum += counts[grey]!) grey++;
    return grey;
  };
  const black = quantile(0.3);
  const white = Math.max(black + 8, quantile(0.998));
  return { window: white - black, level: (white + black) / 2, gamma: PLAIN.gamma };
}
