"use client";

import { counted, jpegUrl } from "@/lib/answers";
import { offline } from "@/lib/api";
import { useLanguage } from "@/lib/language";
import type { Photo } from "@/lib/photos";
import { problem } from "@/lib/problems";
import { Boxes } from "./boxes";
import { Icon } from "./icons";
import { IconButton } from "./parts";

type Props = { photo: Photo; onOpen: () => void; onRemove: () => void };

/** One of many photos: small, with what was found in a line; the rest when it is opened. */
export function PhotoTile({ photo, onOpen, onRemove }: Props) {
  const { t } = useLanguage();
  const { answer, state } = photo;
  const name = photo.file.name;
  const failed = state === "failed" && !offline(photo.error);
  let line = "";
  if (failed) line = problem(photo.error, t);
  else if (answer) line = answer.faces.length ? t.found(answer.faces.length) : t.none;
  else line = photo.retryInS ? t.retrying(photo.retryInS) : state === "working" ? t.working : t.waiting;
  return (
    <article aria-label={name} className="rise group relative">
      <button
        type="button"
        id={`tile-${photo.id}`}
        onClick={onOpen}
        className="block w-full cursor-pointer overflow-hidden rounded-2xl border border-line bg-card text-left hover:border-accent"
      >
        <span className="relative block aspect-4/3 bg-line">
          <img
            src={jpegUrl(answer?.preview_jpeg) ?? photo.url}
            alt=""
            loading="lazy"
            className={`absolute inset-0 h-full w-full object-cover ${answer ? "" : "opacity-60"}`}
          />
          {answer && (
            <Boxes
              faces={answer.faces}
              width={answer.image.width}
              height={answer.image.height}
              fit="slice"
              bare={Boolean(answer.preview_jpeg)}
            />
          )}
          {!answer && !failed && (
            <span className="absolute top-3 left-3 h-3 w-3 animate-pulse rounded-full bg-accent" aria-hidden="true" />
          )}
        </span>
        <span className="block px-3 py-2.5">
          <span className="block truncate text-sm font-medium">{name}</span>
          <span className={`text-sm ${failed ? "line-clamp-2 text-wrong" : "block truncate text-soft"}`}>{line}</span>
          {answer && answer.faces.length > 0 && (
            <span className="block truncate text-sm text-soft">{counted(answer.faces, answer.release.labels, t)}</span>
          )}
        </span>
      </button>
      <IconButton
        label={t.remove(name)}
        onClick={onRemove}
        className="absolute top-1.5 right-1.5 h-8 w-8 bg-card/85 text-ink opacity-0 group-focus-within:opacity-100 group-hover:opacity-100 pointer-coarse:opacity-100"
      >
        <Icon name="close" />
      </IconButton>
    </article>
  );
}
