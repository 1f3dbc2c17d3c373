"use client";

import { useEffect, useState } from "react";
import { useLanguage } from "@/lib/language";
import type { Limits } from "@/lib/schemas";
import { FileButton, PHOTO_TYPES } from "./file-button";

const MIB = 2 ** 20;

/** Files that are dropped anywhere on the page or pasted; returns whether some are held over it. */
export function useFilesFromAnywhere(take: (files: Iterable<File>) => void): boolean {
  const [held, setHeld] = useState(false);
  useEffect(() => {
    const over = (event: DragEvent) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      setHeld(true);
    };
    const leave = (event: DragEvent) => {
      if (!event.relatedTarget) setHeld(false);
    };
    const drop = (event: DragEvent) => {
      setHeld(false);
      if (!event.dataTransfer?.files.length) return;
      event.preventDefault();
      take([...event.dataTransfer.files]);
    };
    const paste = (event: ClipboardEvent) => {
      const files = [...(event.clipboardData?.files ?? [])];
      if (files.length) take(files);
    };
    window.addEventListener("dragover", over);
    window.addEventListener("dragleave", leave);
    window.addEventListener("drop", drop);
    window.addEventListener("paste", paste);
    return () => {
      window.removeEventListener("dragover", over);
      window.removeEventListener("dragleave", leave);
      window.removeEventListener("drop", drop);
      window.removeEventListener("paste", paste);
    };
  }, [take]);
  return held;
}

type Props = { limits: Limits | null; held: boolean; onFiles: (files: Iterable<File>) => void };

/** Where photos are chosen, as long as there are none. */
export function DropZone({ limits, held, onFiles }: Props) {
  const { t } = useLanguage();
  return (
    <section
      aria-label={t.sourcePhotos}
      className={`mt-5 rounded-3xl border-2 border-dashed p-8 text-center sm:p-12 ${held ? "border-accent bg-accent-soft" : "border-line bg-card"}`}
    >
      <svg viewBox="0 0 48 48" className="mx-auto h-12 w-12 text-accent" aria-hidden="true" fill="none" stroke="currentColor" strokeWidth="2" strokeLinecap="round" strokeLinejoin="round">
        <path d="M8 18v-6a4 4 0 0 1 4-4h6M30 8h6a4 4 0 0 1 4 4v6M40 30v6a4 4 0 0 1-4 4h-6M18 40h-6a4 4 0 0 1-4-4v-6" />
        <path d="M18 20v2M30 20v2M18 30c3.5 3 8.500 3 12 0" />
      </svg>
      <p className="mt-4 text-lg">{t.drop}</p>
      <div className="mt-5 flex flex-wrap justify-center gap-3">
        <FileButton strong text={t.choose} accept={PHOTO_TYPES} multiple onFiles={onFiles} />
        <FileButton text={t.take} accept="image/*" capture onFiles={onFiles} />
      </div>
      {limits && (
        <p className="mt-4 text-sm text-soft">{t.formats(limits.formats.join(", "), Math.round(limits.max_bytes / MIB))}</p>
      )}
    </section>
  );
}
