"use client";

import { useEffect, useRef, useState, type KeyboardEvent } from "react";
import { useLanguage } from "@/lib/language";
import type { Photo } from "@/lib/photos";
import { save, toCsv, toJson, type Named } from "@/lib/save";
import type { Model } from "@/lib/schemas";
import { FileButton, PHOTO_TYPES } from "./file-button";
import { Icon } from "./icons";
import { Button, IconButton } from "./parts";
import { PhotoDetail } from "./photo-detail";
import { PhotoTile } from "./photo-tile";

type Props = {
  photos: Photo[];
  model: Model | null;
  onAdd: (files: Iterable<File>) => void;
  onAgain: (id: number) => void;
  onRemove: (id: number) => void;
};

/** What was found, in the place where the photos were chosen: one photo at large, or a grid of many. */
export function Results({ photos, model, onAdd, onAgain, onRemove }: Props) {
  const { t } = useLanguage();
  const [openId, setOpenId] = useState<number | null>(null);
  const heading = useRef<HTMLHeadingElement>(null);
  const finished = photos.filter((p) => p.state === "done" || p.state === "failed").length;
  const done: Named[] = photos.flatMap((p) => (p.answer ? [{ name: p.file.name, answer: p.answer }] : []));
  const many = photos.length > 1;
  const place = many ? photos.findIndex((p) => p.id === openId) : 0;
  const shown = photos[place];
  const count = photos.length;

  // What was chosen is looked at next: by eyes at the top of the page, by a screen reader from here on.
  useEffect(() => {
    heading.current?.focus({ preventScroll: true });
    heading.current?.scrollIntoView({ block: "nearest" });
  }, [count > 0, openId]); // eslint-disable-line

  function close() {
    const id = openId;
    setOpenId(null);
    requestAnimationFrame(() => document.getElementById(`tile-${id}`)?.focus());
  }

  function keys(event: KeyboardEvent) {
    if (!many || !shown || event.target instanceof HTMLInputElement) return;
    if (event.key === "Escape") close();
    if (event.key === "ArrowLeft" && place > 0) setOpenId(photos[place - 1]!.id);
    if (event.key === "ArrowRight" && place < count - 1) setOpenId(photos[place + 1]!.id);
  }

  return (
    <section aria-labelledby="results" className="mt-4" onKeyDown={keys}>
      <div className="flex flex-wrap items-center gap-2">
        {many && shown && (
          <Button compact onClick={close}>
            <Icon name="back" />
            {t.allPhotos}
          </Button>
        )}
        <h2 id="results" ref={heading} tabIndex={-1} className="min-w-0 flex-1 basis-40 scroll-my-5 truncate font-medium outline-none">
          {shown ? shown.file.name : t.progress(finished, count)}
        </h2>
        {many && shown && (
          <div className="flex items-center">
            <IconButton label={t.previous} disabled={place === 0} onClick={() => setOpenId(photos[place - 1]!.id)}>
              <Icon name="back" />
            </IconButton>
            <span className="text-sm text-soft tabular-nums">{t.place(place + 1, count)}</span>
            <IconButton label={t.next} disabled={place === count - 1} onClick={() => setOpenId(photos[place + 1]!.id)}>
              <Icon name="next" />
            </IconButton>
          </div>
        )}
        <div className="flex flex-wrap gap-1.5 sm:gap-2">
          <FileButton text={t.addPhotos} accept={PHOTO_TYPES} multiple compact onFiles={onAdd} />
          <Button compact aria-label={t.json} disabled={!done.length} onClick={() => save("faces.json", "application/json", toJson(done))}>
            JSON
          </Button>
          <Button compact aria-label={t.csv} disabled={!done.length} onClick={() => save("faces.csv", "text/csv", toCsv(done))}>
            CSV
          </Button>
          {!many && shown ? (
            <IconButton label={t.remove(shown.file.name)} onClick={() => onRemove(shown.id)}>
              <Icon name="close" />
            </IconButton>
          ) : (
            <Button compact onClick={() => photos.forEach((p) => onRemove(p.id))}>
              {t.clear}
            </Button>
          )}
        </div>
      </div>
      {many && finished < count && (
        <progress className="mt-3 h-1.5 w-full accent-accent" value={finished} max={count} aria-label={t.progress(finished, count)} />
      )}
      {shown ? (
        <PhotoDetail key={shown.id} photo={shown} model={model} onAgain={() => onAgain(shown.id)} />
      ) : (
        <div className="mt-4 grid grid-cols-2 gap-3 sm:grid-cols-3 sm:gap-4 lg:grid-cols-4">
          {photos.map((photo) => (
            <PhotoTile key={photo.id} photo={photo} onOpen={() => setOpenId(photo.id)} onRemove={() => onRemove(photo.id)} />
          ))}
        </div>
      )}
    </section>
  );
}
