"use client";

import { percent, useLanguage } from "@/lib/language";

type Props = {
  /** Probability of the second label. */
  p: number;
  /** Half the width of the range around 0.5 in which the model abstains; null where it is not known. */
  band: number | null;
  uncertain: boolean;
  negative: string;
  positive: string;
};

const [LEFT, WIDTH] = [6, 308];
const at = (p: number) => LEFT + p * WIDTH;

/** One scale from label to label: where the answer lies, and the range in which there is none. */
export function FaceScale({ p, band, uncertain, negative, positive }: Props) {
  const { t } = useLanguage();
  const label = t.scaleLabel(negative, positive, percent(p));
  const range = band ? ` ${t.bandLabel(percent(0.5 - band), percent(0.5 + band))}` : "";
  return (
    <div className="mt-2">
      <svg viewBox="0 0 320 20" className="block w-full" role="img" aria-label={label + range}>
        <line x1={LEFT} x2={LEFT + WIDTH} y1="10" y2="10" className="stroke-line" strokeWidth="6" strokeLinecap="round" />
        {band !== null && band > 0 && (
          <rect
            x={at(0.5 - band)}
            width={2 * band * WIDTH}
            y="4"
            height="12"
            rx="3"
            className="fill-doubt-soft stroke-doubt"
            strokeWidth="1"
            strokeDasharray="3 2"
          />
        )}
        <line x1={at(0.5)} x2={at(0.5)} y1="4" y2="16" className="stroke-soft" strokeWidth="1" />
        <circle cx={at(p)} cy="10" r="6" className={`stroke-card ${uncertain ? "fill-doubt" : "fill-accent"}`} strokeWidth="1.500" />
      </svg>
      <div aria-hidden="true" className="mt-0.5 flex justify-between text-xs text-soft">
        <span>{negative}</span>
        {band !== null && band > 0 && <span className="text-doubt">{t.bandName}</span>}
        <span>{positive}</span>
      </div>
    </div>
  );
}
