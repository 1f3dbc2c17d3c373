"use client";

import Link from "next/link";
import { useCallback, useEffect, useRef, useState } from "react";
import { ApiError, limits as getLimits, model as getModel } from "@/lib/api";
import type { Device } from "@/lib/device";
import { useLanguage } from "@/lib/language";
import { usePhotos } from "@/lib/photos";
import type { Limits, Model } from "@/lib/schemas";
import { Camera } from "./camera";
import { DeviceSwitch } from "./device-switch";
import { DropZone, useFilesFromAnywhere } from "./drop-zone";
import { Icon } from "./icons";
import { KeyForm } from "./key-form";
import { Note } from "./parts";
import { Results } from "./results";
import { VideoFile } from "./video-file";

type Source = "photos" | "video" | "camera";
const MIB = 2 ** 20;

export function Try() {
  const { t, language } = useLanguage();
  const [source, setSource] = useState<Source>("photos");
  const [limits, setLimits] = useState<Limits | null>(null);
  const [model, setModel] = useState<Model | null>(null);
  const [needsKey, setNeedsKey] = useState(false);
  const [refused, setRefused] = useState<string[]>([]);
  const [device, setDevice] = useState<Device | null>(null);
  const { photos, away, add, remove, again } = usePhotos(language, device);
  const wasAway = useRef(false);
  wasAway.current ||= away;
  const last = photos.findLast((p) => p.state === "done");
  const answeredBy = last?.answer?.release.version;

  const ask = useCallback(async () => {
    try {
      setLimits(await getLimits(language));
      setNeedsKey(false);
      setModel(await getModel(language));
    } catch (error) {
      setNeedsKey(error instanceof ApiError && error.code === "unauthorized");
    }
  }, [language]);
  // Again when the server is back, and when a newer release answers.
  useEffect(() => void ask(), [ask, away, answeredBy]);

  const take = useCallback(
    (files: Iterable<File>) => {
      const max = limits?.max_bytes ?? Infinity;
      const [fine, large]: [File[], File[]] = [[], []];
      for (const file of files) (file.size > max ? large : fine).push(file);
      const mib = (bytes: number) => Math.round((bytes / MIB) * 10) / 10;
      setRefused(large.map((file) => t.tooLarge(file.name, mib(file.size), mib(max))));
      setSource("photos");
      add(fine);
    },
    [add, limits, t],
  );
  const held = useFilesFromAnywhere(take);

  const empty = source === "photos" && photos.length === 0;
  const drawn = model?.release.synthetic || last?.answer?.release.synthetic;
  const sources: [Source, string][] = [
    ["photos", t.sourcePhotos],
    ["video", t.sourceVideo],
    ["camera", t.sourceCamera],
  ];
  return (
    <>
      {empty ? (
        <div className="max-w-2xl pt-8 sm:pt-14">
          <h1 className="font-serif text-4xl tracking-tight text-balance sm:text-5xl">{t.title}</h1>
          <p className="mt-4 text-lg text-soft text-pretty">{t.lead}</p>
        </div>
      ) : (
        <h1 className="sr-only">{t.title}</h1>
      )}

      <fieldset className={empty ? "mt-8" : "mt-1"}>
        <legend className="sr-only">{t.sourceLegend}</legend>
        <div className="inline-flex rounded-full border border-line bg-card p-1">
          {sources.map(([value, text]) => (
            <label
              key={value}
              className="cursor-pointer rounded-full px-4 py-2 text-sm text-soft has-checked:bg-accent-soft has-checked:font-medium has-checked:text-accent has-focus-visible:outline-3 has-focus-visible:outline-offset-2 has-focus-visible:outline-accent"
            >
              <input
                type="radio"
                name="source"
                className="sr-only"
                checked={source === value}
                onChange={() => setSource(value)}
              />
              {text}
            </label>
          ))}
        </div>
      </fieldset>

      {drawn && (
        <div role="note" className="mt-4">
          <Note kind="wrong">{t.drawn}</Note>
        </div>
      )}
      {needsKey && <KeyForm onKey={ask} />}
      {away && (
        <div role="status" className="mt-4">
          <Note kind="wrong">{t.offline}</Note>
        </div>
      )}
      {refused.map((text) => (
        <div key={text} role="status" className="mt-4">
          <Note kind="wrong">{text}</Note>
        </div>
      ))}

      {source === "camera" && <Camera device={device} model={model} />}
      {source === "video" && <VideoFile device={device} model={model} />}
      {empty && <DropZone limits={limits} held={held} onFiles={take} />}
      {source === "photos" && !empty && (
        <Results photos={photos} model={model} onAdd={take} onAgain={again} onRemove={remove} />
      )}
      {held && !empty && (
        <div className="pointer-events-none fixed inset-3 z-20 flex items-center justify-center rounded-3xl border-2 border-dashed border-accent bg-paper/85 text-xl font-medium">
          {t.dropHere}
        </div>
      )}

      <p role="status" className="sr-only">
        {last?.answer ? t.foundIn(last.answer.faces.length, last.file.name) : ""}
        {wasAway.current && !away ? t.backOnline : ""}
      </p>

      <div className={empty ? "" : "mt-10 border-t border-line pt-2"}>
        <p className="mt-4 flex items-start gap-2 text-sm text-soft">
          <Icon name="lock" className="mt-1 h-4 w-4 shrink-0 text-accent" />
          {device ? t.deviceReady : t.privacy}
        </p>
        <DeviceSwitch device={device} model={model} onDevice={setDevice} />
      </div>

      <section aria-labelledby="meaning" className="mt-14 max-w-3xl">
        <h2 id="meaning" className="font-serif text-2xl">
          {t.meaningTitle}
        </h2>
        <ul className="mt-4 grid gap-4 text-soft sm:grid-cols-3">
          <li>{t.meaning1}</li>
          <li>{t.meaning2}</li>
          <li>
            {t.meaning3}{" "}
            <Link className="text-accent underline underline-offset-4" href="/model/">
              {t.meaningLink}
            </Link>
          </li>
        </ul>
      </section>
    </>
  );
}
