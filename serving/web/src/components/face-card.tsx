"use client";

import { said } from "@/lib/answers";
import { percent, useLanguage } from "@/lib/language";
import type { Face } from "@/lib/schemas";
import { FaceScale } from "./face-scale";

const SMALL_PX = 40;

type Card = {
  id?: string;
  face: Face;
  labels: readonly string[];
  number: number;
  band: number | null;
  crop: string | null;
  active?: boolean;
  onActive?: (on: boolean) => void;
};

/** One face: the label first, with the probability of that label, on a scale that shows where there is none. */
export function FaceCard({ id, face, labels, number, band, crop, active = false, onActive }: Card) {
  const { t } = useLanguage();
  const [negative = "", positive = ""] = labels.map((name) => t.labels[name] ?? name);
  const { word, p, uncertain } = said(face, labels, t);
  return (
    <li
      id={id}
      onPointerEnter={() => onActive?.(true)}
      onPointerLeave={() => onActive?.(false)}
      className={`rise flex scroll-mt-[42dvh] gap-3 rounded-2xl border bg-card p-3 sm:gap-4 sm:p-4 ${active ? "border-accent" : "border-line"}`}
    >
      {crop && (
        <img src={crop} alt="" width={72} height={88} className="h-17 w-14 shrink-0 sm:h-22 sm:w-18 rounded-xl bg-line object-cover" />
      )}
      <div className="min-w-0 flex-1">
        <h3 className="flex items-center gap-2">
          <span className="inline-flex h-6 min-w-6 shrink-0 items-center justify-center rounded-full bg-accent-soft px-1.5 text-xs font-semibold text-accent">
            <span className="sr-only">{t.face(number)} </span>
            <span aria-hidden="true">{number}</span>
          </span>
          <span className={`min-w-0 font-semibold sm:text-lg ${uncertain ? "text-doubt" : ""}`}>
            {uncertain ? t.uncertain : t.appears(word)}
          </span>
          <span className="ml-auto shrink-0 text-right font-semibold sm:text-lg tabular-nums">
            {percent(p)}
            {uncertain && <span className="text-sm font-normal text-soft"> {word}</span>}
          </span>
        </h3>
        <FaceScale p={face.p_positive} band={band} uncertain={uncertain} negative={negative} positive={positive} />
        {uncertain && <p className="mt-2 text-sm text-doubt">{t.uncertainWhy}</p>}
        {face.size_px < SMALL_PX && <p className="mt-2 text-sm text-doubt">{t.small}</p>}
      </div>
    </li>
  );
}
