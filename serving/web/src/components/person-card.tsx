"use client";

import { jpegUrl, said } from "@/lib/answers";
import { percent, useLanguage } from "@/lib/language";
import { stretches, type Person } from "@/lib/tracks";
import { FaceScale } from "./face-scale";

type Props = {
  person: Person;
  labels: readonly string[];
  band: number | null;
  /** Of the whole video; null of a camera, which has no timeline. */
  durationS: number | null;
  stepS: number;
  timeS: number;
  onSeek?: (timeS: number) => void;
};

export function clock(seconds: number): string {
  const s = Math.max(0, Math.round(seconds));
  return `${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")}`;
}

/** One person of a video: one answer for all frames, and when they are seen. */
export function PersonCard({ person, labels, band, durationS, stepS, timeS, onSeek }: Props) {
  const { t } = useLanguage();
  const [negative = "", positive = ""] = labels.map((name) => t.labels[name] ?? name);
  const { word, p } = said({ p_positive: person.pPositive, uncertain: person.uncertain }, labels, t);
  const crop = jpegUrl(person.best.crop_jpeg);
  const x = (s: number) => (durationS ? (s / durationS) * 320 : 0);
  const colour = person.uncertain ? "fill-doubt" : "fill-accent";
  return (
    <li className="flex gap-3 rounded-2xl border border-line bg-card p-3 sm:gap-4 sm:p-4">
      {crop && <img src={crop} alt="" width={72} height={88} className="h-17 w-14 shrink-0 rounded-xl bg-line object-cover sm:h-22 sm:w-18" />}
      <div className="min-w-0 flex-1">
        <h3 className="flex items-center gap-2">
          <span className="inline-flex h-6 min-w-6 shrink-0 items-center justify-center rounded-full bg-accent-soft px-1.5 text-xs font-semibold text-accent">
            <span className="sr-only">{t.person(person.id)} </span>
            <span aria-hidden="true">{person.id}</span>
          </span>
          <span className={`min-w-0 font-semibold sm:text-lg ${person.uncertain ? "text-doubt" : ""}`}>
            {person.uncertain ? t.uncertain : t.appears(word)}
          </span>
          <span className="ml-auto shrink-0 text-right font-semibold tabular-nums sm:text-lg">
            {percent(p)}
            {person.uncertain && <span className="text-sm font-normal text-soft"> {word}</span>}
          </span>
        </h3>
        <FaceScale p={person.pPositive} band={band} uncertain={person.uncertain} negative={negative} positive={positive} />
        {durationS !== null && (
          <>
            <svg viewBox="0 0 320 10" preserveAspectRatio="none" className="mt-2 block h-2.5 w-full" aria-hidden="true">
              <rect x="0" y="2" width="320" height="6" rx="1" className="fill-line" />
              {stretches(person, stepS).map(([from, to]) => (
                <rect key={from} x={x(from)} y="2" width={Math.max(2, x(to) - x(from))} height="6" rx="1" className={colour} />
              ))}
              <rect x={x(timeS) - 0.75} y="0" width="1.500" height="10" className="fill-ink" />
            </svg>
            <p className="mt-1 text-sm text-soft">
              <button type="button" className="cursor-pointer underline underline-offset-4 hover:text-ink" onClick={() => onSeek?.(person.fromS)}>
                {t.seen(clock(person.fromS), clock(person.toS))}
              </button>
              {` · ${t.inFrames(person.sightings.length)}`}
            </p>
          </>
        )}
      </div>
    </li>
  );
}
