"use client";

import Link from "next/link";
import { useCallback, useEffect, useRef, useState, type DragEvent } from "react";
import { ApiError, limits as getLimits, setKey, type Limits } from "@/lib/api";
import type { Device } from "@/lib/device";
import { useLanguage } from "@/lib/language";
import { usePhotos } from "@/lib/photos";
import { save, toCsv, toJson, type Named } from "@/lib/save";
import { DeviceSwitch } from "./device-switch";
import { Live } from "./live";
import { Button, Note } from "./parts";
import { PhotoResult } from "./photo-result";

type Source = "photos" | "video" | "camera";
const MIB = 2 ** 20;

export function Try() {
  const { t, language } = useLanguage();
  const [source, setSource] = useState<Source>("photos");
  const [limits, setLimits] = useState<Limits | null>(null);
  const [needsKey, setNeedsKey] = useState(false);
  const [refused, setRefused] = useState<string[]>([]);
  const [device, setDevice] = useState<Device | null>(null);
  const [dragging, setDragging] = useState(false);
  const { photos, away, add, remove, again } = usePhotos(language, device);
  const wasAway = useRef(false);
  wasAway.current ||= away;

  const askLimits = useCallback(async () => {
    try {
      setLimits(await getLimits(language));
      setNeedsKey(false);
    } catch (error) {
      setNeedsKey(error instanceof ApiError && error.code === "unauthorized");
    }
  }, [language]);
  useEffect(() => void askLimits(), [askLimits, away]);

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

  useEffect(() => {
    const paste = (event: ClipboardEvent) => {
      const files = [...(event.clipboardData?.files ?? [])];
      if (files.length) take(files);
    };
    window.addEventListener("paste", paste);
    return () => window.removeEventListener("paste", paste);
  }, [take]);

  const drop = (event: DragEvent) => {
    event.preventDefault();
    setDragging(false);
    take(event.dataTransfer.files);
  };

  const done: Named[] = photos.flatMap((p) => (p.answer ? [{ name: p.file.name, answer: p.answer }] : []));
  const finished = photos.filter((p) => p.state === "done" || p.state === "failed").length;
  const last = photos.findLast((p) => p.state === "done");
  const sources: [Source, string][] = [
    ["photos", t.sourcePhotos],
    ["video", t.sourceVideo],
    ["camera", t.sourceCamera],
  ];
  return (
    <>
      <div className="max-w-2xl pt-8 sm:pt-14">
        <h1 className="font-serif text-4xl tracking-tight text-balance sm:text-5xl">{t.title}</h1>
        <p className="mt-4 text-lg text-soft text-pretty">{t.lead}</p>
      </div>

      <fieldset className="mt-8">
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

      {needsKey && <KeyForm onKey={askLimits} />}
      {away && (
        <div role="status" className="mt-6">
          <Note kind="wrong">{t.offline}</Note>
        </div>
      )}

      {source === "photos" ? (
        <section
          className={`mt-5 rounded-3xl border-2 border-dashed p-8 text-center sm:p-12 ${dragging ? "border-accent bg-accent-soft" : "border-line bg-card"}`}
          onDragOver={(event) => {
            event.preventDefault();
            setDragging(true);
          }}
          onDragLeave={() => setDragging(false)}
          onDrop={drop}
        >
          <svg viewBox="0 0 48 48" className="mx-auto h-12 w-12 text-accent" aria-hidden="true" fill="none" stroke="currentColor" strokeWidth="2" strokeLinecap="round" strokeLinejoin="round">
            <path d="M8 18v-6a4 4 0 0 1 4-4h6M30 8h6a4 4 0 0 1 4 4v6M40 30v6a4 4 0 0 1-4 4h-6M18 40h-6a4 4 0 0 1-4-4v-6" />
            <path d="M18 20v2M30 20v2M18 30c3.5 3 8.500 3 12 0" />
          </svg>
          <p className="mt-4 text-lg">{t.drop}</p>
          <div className="mt-5 flex flex-wrap justify-center gap-3">
            <FileButton strong text={t.choose} accept="image/*,.heic,.heif,.avif" multiple onFiles={take} />
            <FileButton text={t.take} accept="image/*" capture onFiles={take} />
          </div>
          {limits && (
            <p className="mt-4 text-sm text-soft">
              {t.formats(limits.formats.join(", "), Math.round(limits.max_bytes / MIB))}
            </p>
          )}
        </section>
      ) : (
        <Live key={source} source={source} device={device} />
      )}

      <p className="mt-4 flex items-start gap-2 text-sm text-soft">
        <svg viewBox="0 0 16 16" className="mt-1 h-4 w-4 shrink-0 text-accent" aria-hidden="true" fill="none" stroke="currentColor" strokeWidth="1.500">
          <rect x="3" y="7" width="10" height="7" rx="2" />
          <path d="M5 7V5a3 3 0 0 1 6 0v2" />
        </svg>
        {device ? t.deviceReady : t.privacy}
      </p>
      <DeviceSwitch device={device} onDevice={setDevice} />

      {refused.map((text) => (
        <div key={text} role="status" className="mt-6">
          <Note kind="wrong">{text}</Note>
        </div>
      ))}

      <p role="status" className="sr-only">
        {last?.answer ? t.foundIn(last.answer.faces.length, last.file.name) : ""}
        {wasAway.current && !away ? t.backOnline : ""}
      </p>

      {source === "photos" && photos.length > 0 && (
        <section aria-label={t.sourcePhotos} className="mt-8">
          <div className="flex flex-wrap items-center gap-3">
            <p className="mr-auto text-sm text-soft">{t.progress(finished, photos.length)}</p>
            <Button disabled={!done.length} onClick={() => save("faces.json", "application/json", toJson(done))}>
              {t.json}
            </Button>
            <Button disabled={!done.length} onClick={() => save("faces.csv", "text/csv", toCsv(done))}>
              {t.csv}
            </Button>
            <Button onClick={() => photos.forEach((p) => remove(p.id))}>{t.clear}</Button>
          </div>
          {photos.toReversed().map((photo) => (
            <PhotoResult
              key={photo.id}
              photo={photo}
              onAgain={() => again(photo.id)}
              onRemove={() => remove(photo.id)}
            />
          ))}
        </section>
      )}

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

type FileButtonProps = {
  text: string;
  accept: string;
  multiple?: boolean;
  capture?: boolean;
  strong?: boolean;
  onFiles: (files: Iterable<File>) => void;
};

export function FileButton({ text, accept, multiple, capture, strong, onFiles }: FileButtonProps) {
  const input = useRef<HTMLInputElement>(null);
  return (
    <>
      <Button strong={strong} onClick={() => input.current?.click()}>
        {text}
      </Button>
      <input
        ref={input}
        type="file"
        accept={accept}
        multiple={multiple}
        capture={capture ? "user" : undefined}
        hidden
        aria-label={text}
        onChange={(event) => {
          onFiles([...(event.target.files ?? [])]);
          event.target.value = "";
        }}
      />
    </>
  );
}

function KeyForm({ onKey }: { onKey: () => void }) {
  const { t } = useLanguage();
  const [key, change] = useState("");
  return (
    <form
      className="mt-6 flex flex-wrap items-end gap-3 rounded-2xl border border-line bg-card p-4"
      onSubmit={(event) => {
        event.preventDefault();
        setKey(key);
        onKey();
      }}
    >
      <p className="w-full">{t.keyNeeded}</p>
      <label className="text-sm">
        {t.keyLabel}
        <input
          type="password"
          autoComplete="off"
          value={key}
          onChange={(event) => change(event.target.value)}
          className="mt-1 block min-h-11 rounded-lg border border-line bg-paper px-3"
        />
      </label>
      <Button type="submit" strong>
        {t.keySave}
      </Button>
    </form>
  );
}
