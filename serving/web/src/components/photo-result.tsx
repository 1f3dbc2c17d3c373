"use client";

import { ApiError, offline } from "@/lib/api";
import { useLanguage } from "@/lib/language";
import type { Photo } from "@/lib/photos";
import { Boxes } from "./boxes";
import { FaceCard } from "./face-card";
import { Button, Note } from "./parts";

type Props = { photo: Photo; onAgain: () => void; onRemove: () => void };

export function PhotoResult({ photo, onAgain, onRemove }: Props) {
  const { t } = useLanguage();
  const { answer } = photo;
  const preview = answer?.preview_jpeg;
  const crop = (data: string | null | undefined) => (data ? `data:image/jpeg;base64,${data}` : null);
  return (
    <article className="rise mt-8" aria-label={photo.file.name}>
      <header className="flex items-center gap-3">
        <h2 className="min-w-0 flex-1 truncate font-medium">{photo.file.name}</h2>
        <button
          type="button"
          onClick={onRemove}
          aria-label={t.remove(photo.file.name)}
          className="flex h-11 w-11 cursor-pointer items-center justify-center rounded-full text-soft hover:bg-line"
        >
          <svg viewBox="0 0 16 16" className="h-4 w-4" aria-hidden="true">
            <path d="M3 3l10 10M13 3L3 13" className="stroke-current" strokeWidth="1.8" strokeLinecap="round" />
          </svg>
        </button>
      </header>
      <div className="mt-2 grid gap-5 md:grid-cols-2">
        <div className="relative self-start overflow-hidden rounded-2xl bg-line">
          <img
            src={crop(preview) ?? photo.url}
            alt=""
            className={`block w-full ${photo.state === "working" ? "opacity-60" : ""}`}
          />
          {answer && <Boxes faces={answer.faces} width={answer.image.width} height={answer.image.height} />}
        </div>
        <div>
          {(photo.state === "waiting" || photo.state === "working") && (
            <p className="flex items-center gap-3 text-soft">
              <span className="h-3 w-3 animate-pulse rounded-full bg-accent" aria-hidden="true" />
              {photo.retryInS ? t.retrying(photo.retryInS) : photo.state === "waiting" ? t.waiting : t.working}
            </p>
          )}
          {photo.state === "failed" && !offline(photo.error) && (
            <Note kind="wrong">
              <p>{photo.error instanceof ApiError ? photo.error.message : t.undecodable}</p>
              <Button className="mt-3" onClick={onAgain}>
                {t.again}
              </Button>
            </Note>
          )}
          {answer && answer.faces.length === 0 && (
            <Note kind="plain">
              <p className="text-base font-semibold">{t.none}</p>
              <p className="mt-1">{t.noneHelp}</p>
            </Note>
          )}
          {answer && answer.faces.length > 0 && (
            <>
              <p className="text-sm text-soft">
                {t.found(answer.faces.length)}
                {answer.image.rotated_deg !== 0 && ` ${t.turned(answer.image.rotated_deg)}`}
                {answer.unusable_faces > 0 && ` ${t.unusable(answer.unusable_faces)}`}
              </p>
              <ul className="mt-3 grid gap-3">
                {answer.faces.map((face, n) => (
                  <FaceCard key={n} face={face} labels={answer.release.labels} number={n + 1} crop={crop(face.crop_jpeg)} />
                ))}
              </ul>
            </>
          )}
          {answer?.release.synthetic && (
            <div className="mt-3">
              <Note kind="wrong">{t.drawn}</Note>
            </div>
          )}
          {answer && (
            <p className="mt-3 text-xs text-soft">
              {t.answeredBy(
                answer.release.version,
                answer.release.variant,
                Math.round(answer.timings_ms["total"] ?? 0),
              )}
            </p>
          )}
        </div>
      </div>
    </article>
  );
}
