"use client";

import { useEffect, useState } from "react";
import { model as getModel } from "@/lib/api";
import { percent, useLanguage } from "@/lib/language";
import type { Model } from "@/lib/schemas";
import type { Texts } from "@/lib/texts";
import { Note } from "./parts";

type Slice = Model["release"]["metrics"]["slices"][number];

export function ModelPage() {
  const { t, language } = useLanguage();
  const [model, setModel] = useState<Model | null>(null);
  const [problem, setProblem] = useState("");
  useEffect(() => {
    getModel(language).then(setModel, (error: Error) => setProblem(error.message || t.offline));
  }, [language, t]);
  const release = model?.release;
  const accuracy = release?.metrics.overall["accuracy"];
  const band = release?.calibration?.uncertain_below;
  const facts: [string, string][] = release
    ? [
        [t.modelRelease, `${release.model_name} ${release.version}`],
        [t.modelCreated, new Date(release.created).toLocaleDateString(language, { dateStyle: "long" })],
        [t.modelVariant, model.active.variant],
        ...(accuracy ? [[t.modelAccuracy, range(accuracy)] as [string, string]] : []),
        ...(band !== undefined
          ? [[t.modelAbstains, `${percent(0.5 - band)} – ${percent(0.5 + band)}`] as [string, string]]
          : []),
      ]
    : [];
  const slices = [...(release?.metrics.slices ?? [])].sort((a, b) => a.accuracy.value - b.accuracy.value);
  return (
    <>
      <h1 className="pt-8 font-serif text-4xl tracking-tight text-balance sm:pt-14">{t.modelTitle}</h1>
      <p className="mt-4 max-w-2xl text-lg text-soft">{t.modelLead}</p>
      {problem && (
        <div role="status" className="mt-6">
          <Note kind="wrong">{problem}</Note>
        </div>
      )}
      {release?.synthetic && (
        <div className="mt-6">
          <Note kind="wrong">{t.drawn}</Note>
        </div>
      )}
      {release && (
        <>
          <dl className="mt-8 grid grid-cols-2 gap-3 sm:grid-cols-3 sm:gap-4">
            {facts.map(([name, value]) => (
              <div key={name} className="rounded-2xl border border-line bg-card p-4">
                <dt className="text-sm text-soft">{name}</dt>
                <dd className="mt-1 font-medium">{value}</dd>
              </div>
            ))}
          </dl>
          <section aria-labelledby="groups" className="mt-12">
            <h2 id="groups" className="font-serif text-2xl">
              {t.groups}
            </h2>
            {slices.length ? (
              <>
                <p className="mt-2 max-w-2xl text-soft">{t.groupsHelp}</p>
                <Groups slices={slices} learnt={release.label_attribute} labels={release.labels} />
              </>
            ) : (
              <p className="mt-2 text-soft">{t.noGroups}</p>
            )}
          </section>
          <section aria-labelledby="card" className="mt-12">
            <div className="flex flex-wrap items-baseline gap-4">
              <h2 id="card" className="mr-auto font-serif text-2xl">
                {t.card}
              </h2>
              {model.has_report ? (
                <a className="text-accent underline underline-offset-4" href="/v1/report">
                  {t.openReport}
                </a>
              ) : (
                <p className="text-sm text-soft">{t.noReport}</p>
              )}
            </div>
            <iframe
              title={t.card}
              src="/v1/model-card"
              sandbox=""
              className="mt-4 h-[70vh] w-full rounded-2xl border border-line bg-white"
            />
          </section>
        </>
      )}
    </>
  );
}

/** "Young=0, sharpness_band=high" in words; attributes keep CelebA's English names. */
function groupName(name: string, learnt: string, labels: readonly string[], t: Texts): string {
  const word = labels.map((label) => t.labels[label] ?? label);
  return name
    .split(", ")
    .map((part) => {
      const [attribute = part, value] = part.split("=");
      if (attribute === learnt) return word[Number(value)] ?? part;
      const quality = t.qualities[attribute];
      if (quality) return `${quality}: ${t.bands[value ?? ""] ?? value}`;
      const text = attribute.replaceAll("_", " ");
      return value === "0" ? t.not(text) : value === "1" || value === undefined ? text : part;
    })
    .join(", ");
}

function range(m: { value: number; low?: number | null; high?: number | null }): string {
  const value = percent(m.value);
  return m.low != null && m.high != null ? `${value} (${percent(m.low)} – ${percent(m.high)})` : value;
}

function Groups({ slices, learnt, labels }: { slices: Slice[]; learnt: string; labels: readonly string[] }) {
  const { t } = useLanguage();
  const errorOf = (value: number) => (1 - value) * 100;
  const most = Math.max(10, ...slices.map((s) => errorOf(s.accuracy.low ?? s.accuracy.value)));
  const x = (error: number) => 4 + (error / most) * 192;
  return (
    <div className="mt-5 overflow-x-auto rounded-2xl border border-line bg-card" tabIndex={0} role="group" aria-label={t.groups}>
      <table className="w-full text-left text-sm">
        <thead className="text-soft">
          <tr>
            <th scope="col" className="px-4 py-3 font-medium">{t.group}</th>
            <th scope="col" className="px-4 py-3 font-medium">{t.wrongOf100}</th>
            <th scope="col" className="px-4 py-3 font-medium">{t.interval}</th>
            <th scope="col" className="px-4 py-3 text-right font-medium">{t.people}</th>
          </tr>
        </thead>
        <tbody>
          {slices.map(({ name, accuracy: { value, low, high, n } }) => (
            <tr key={name} className="border-t border-line">
              <th scope="row" className="px-4 py-3 font-normal">{groupName(name, learnt, labels, t)}</th>
              <td className="px-4 py-3 text-base font-semibold">{errorOf(value).toFixed(1)}</td>
              <td className="px-4 py-3">
                <div className="flex items-center gap-3">
                  <svg viewBox="0 0 200 12" className="h-3 w-32 shrink-0 sm:w-48" aria-hidden="true">
                    <line x1="4" x2="196" y1="6" y2="6" className="stroke-line" strokeWidth="2" />
                    {low != null && high != null && (
                      <line x1={x(errorOf(high))} x2={x(errorOf(low))} y1="6" y2="6" className="stroke-accent" strokeWidth="3" strokeLinecap="round" />
                    )}
                    <circle cx={x(errorOf(value))} cy="6" r="4" className="fill-accent" />
                  </svg>
                  {low != null && high != null && (
                    <span className="whitespace-nowrap text-soft">
                      {errorOf(high).toFixed(1)} – {errorOf(low).toFixed(1)}
                    </span>
                  )}
                </div>
              </td>
              <td className="px-4 py-3 text-right tabular-nums">{n ?? "–"}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
