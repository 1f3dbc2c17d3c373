"use client";

import type { Face } from "@/lib/api";
import { percent, useLanguage } from "@/lib/language";

const SMALL_PX = 40;

type Card = { face: Face; labels: readonly string[]; number: number; crop: string | null };

export function FaceCard({ face, labels, number, crop }: Card) {
  const { t } = useLanguage();
  const [negative = "", positive = ""] = labels.map((name) => t.labels[name] ?? name);
  const called = face.p_positive >= 0.5;
  const word = called ? positive : negative;
  const p = called ? face.p_positive : 1 - face.p_positive;
  const x = 4 + face.p_positive * 192;
  return (
    <li className="rise flex gap-4 rounded-2xl border border-line bg-card p-4">
      {crop && (
        <img
          src={crop}
          alt=""
          width={72}
          height={88}
          className="h-22 w-18 shrink-0 rounded-xl bg-line object-cover"
        />
      )}
      <div className="min-w-0 flex-1">
        <h3 className="flex flex-wrap items-baseline gap-x-2">
          <span className="text-sm text-soft">{t.face(number)}</span>
          <span className={`text-lg font-semibold ${face.uncertain ? "text-doubt" : ""}`}>
            {face.uncertain ? t.uncertain : t.appears(word)}
          </span>
        </h3>
        <p className="text-sm text-soft">{t.likelihood(percent(p), word)}</p>
        <svg
          viewBox="0 0 200 16"
          className="mt-2 w-full max-w-60"
          role="img"
          aria-label={t.scaleLabel(negative, positive, percent(face.p_positive))}
        >
          <line x1="4" x2="196" y1="8" y2="8" className="stroke-line" strokeWidth="4" strokeLinecap="round" />
          <line x1="100" x2="100" y1="3" y2="13" className="stroke-soft" strokeWidth="1" />
          <circle cx={x} cy="8" r="6" className={face.uncertain ? "fill-doubt" : "fill-accent"} />
        </svg>
        <div aria-hidden="true" className="flex max-w-60 justify-between text-xs text-soft">
          <span>{negative}</span>
          <span>{positive}</span>
        </div>
        {face.uncertain && <p className="mt-2 text-sm text-doubt">{t.uncertainWhy}</p>}
        {face.size_px < SMALL_PX && <p className="mt-2 text-sm text-doubt">{t.small}</p>}
        <p className="mt-1 text-xs text-soft">{t.detector(percent(face.detector_score))}</p>
      </div>
    </li>
  );
}
