"use client";

import type { Face } from "@/lib/api";

/** The faces' boxes over a picture of the same aspect; each is also told by its card. */
export function Boxes({ faces, width, height }: { faces: Face[]; width: number; height: number }) {
  const unit = Math.max(width, height) / 400;
  return (
    <svg
      viewBox={`0 0 ${width} ${height}`}
      aria-hidden="true"
      className="pointer-events-none absolute inset-0 h-full w-full"
    >
      {faces.map((face, n) => {
        const { x1, y1, x2, y2 } = face.box;
        const dashes = face.uncertain ? `${unit * 6} ${unit * 4}` : undefined;
        const r = unit * 9;
        return (
          <g key={`${n}-${x1}`}>
            <rect x={x1} y={y1} width={x2 - x1} height={y2 - y1} rx={unit * 3} fill="none" stroke="#000" strokeOpacity=".55" strokeWidth={unit * 4} />
            <rect x={x1} y={y1} width={x2 - x1} height={y2 - y1} rx={unit * 3} fill="none" stroke="#fff" strokeWidth={unit * 2} strokeDasharray={dashes} />
            <circle cx={x1} cy={y1} r={r} fill="#14655a" stroke="#fff" strokeWidth={unit} />
            <text x={x1} y={y1} fill="#fff" fontSize={r * 1.2} textAnchor="middle" dominantBaseline="central" fontWeight="600">
              {n + 1}
            </text>
          </g>
        );
      })}
    </svg>
  );
}
