"use client";

import type { Face } from "@/lib/schemas";

type Props = {
  faces: readonly Pick<Face, "box" | "uncertain">[];
  width: number;
  height: number;
  /** What is written beside each box; none of a thumbnail. */
  names?: readonly string[];
  /** The box that is pointed at. */
  active?: number | null;
  onActive?: (n: number | null) => void;
  onPick?: (n: number) => void;
  /** "slice" for a picture that is cut to its frame, as object-cover does. */
  fit?: "meet" | "slice";
  /** Without lines: the picture has them already. */
  bare?: boolean;
};

/**
 * The faces' boxes over a picture of the same aspect. A mouse may point at them; for a keyboard and
 * a screen reader each face's card says the same, so that this is hidden from both.
 */
export function Boxes({ faces, width, height, names, active = null, onActive, onPick, fit = "meet", bare = false }: Props) {
  const unit = Math.max(width, height) / 400;
  const r = unit * 9;
  const inside = (v: number, most: number) => Math.min(Math.max(v, r + unit), most - r - unit);
  return (
    <svg
      viewBox={`0 0 ${width} ${height}`}
      preserveAspectRatio={`xMidYMid ${fit}`}
      aria-hidden="true"
      className="pointer-events-none absolute inset-0 h-full w-full"
    >
      {faces.map((face, n) => {
        const { x1, y1, x2, y2 } = face.box;
        const box = { x: x1, y: y1, width: x2 - x1, height: y2 - y1, rx: unit * 3, fill: "none" };
        const dashes = face.uncertain ? `${unit * 6} ${unit * 4}` : undefined;
        // At the corner; outside a small box, or the number would cover the face.
        const out = Math.min(x2 - x1, y2 - y1) < 4 * r ? 0.75 * r + unit : 0;
        const [x, y] = [inside(x1 - out, width), inside(y1 - out, height)];
        const name = names?.[n];
        return (
          <g
            key={n}
            className={onPick ? "pointer-events-auto cursor-pointer" : undefined}
            opacity={active === null || active === n ? 1 : 0.45}
            onPointerEnter={() => onActive?.(n)}
            onPointerLeave={() => onActive?.(null)}
            onClick={() => onPick?.(n)}
          >
            {onPick && <rect {...box} fill="transparent" />}
            {!bare && (
              <>
                <rect {...box} stroke="#000" strokeOpacity=".55" strokeWidth={unit * 4} />
                <rect {...box} stroke="#fff" strokeWidth={unit * (active === n ? 3 : 2)} strokeDasharray={dashes} />
              </>
            )}
            {name && (
              <>
                <circle cx={x} cy={y} r={r} fill="#14655a" stroke="#fff" strokeWidth={unit} />
                <text x={x} y={y} fill="#fff" fontSize={r * 1.2} textAnchor="middle" dominantBaseline="central" fontWeight="600">
                  {name}
                </text>
              </>
            )}
          </g>
        );
      })}
    </svg>
  );
}
