"use client";

import { useState } from "react";
import { bandOf, jpegUrl } from "@/lib/answers";
import { offline } from "@/lib/api";
import { useLanguage } from "@/lib/language";
import type { Photo } from "@/lib/photos";
import { problem } from "@/lib/problems";
import type { Model } from "@/lib/schemas";
import { Boxes } from "./boxes";
import { FaceCard } from "./face-card";
import { Button, Note } from "./parts";

type Props = { photo: Photo; model: Model | null; onAgain: () => void };

/** One photo, which stays in view, and its faces beside it; what points at one shows the other. */
export function PhotoDetail({ photo, model, onAgain }: Props) {
  const { t } = useLanguage();
  const [active, setActive] = useState<number | null>(null);
  const { answer } = photo;
  const preview = jpegUrl(answer?.preview_jpeg);
  const doubtful = answer?.doubtful ?? [];
  const card = (n: number) => `face-${photo.id}-${n}`;
  return (
    <article aria-label={photo.file.name} className="mt-3 md:grid md:grid-cols-[1.1fr_1fr] md:gap-6">
      <div className="sticky top-0 z-10 -mx-4 bg-paper px-4 py-2 sm:mx-0 sm:px-0 md:top-4 md:self-start md:py-0">
        <div className="relative overflow-hidden rounded-2xl bg-line">
          <img
            src={preview ?? photo.url}
            alt=""
            className={`block max-h-[38dvh] min-h-24 w-full object-contain md:max-h-[calc(100dvh-2rem)] ${photo.state === "working" ? "opacity-60" : ""}`}
          />
          {doubtful.length > 0 && answer && (
            <Boxes
              faces={doubtful.map(({ box }) => ({ box, uncertain: true }))}
              names={doubtful.map(() => "?")}
              width={answer.image.width}
              height={answer.image.height}
            />
          )}
          {answer && (
            <Boxes
              faces={answer.faces}
              width={answer.image.width}
              height={answer.image.height}
              names={answer.faces.map((_, n) => String(n + 1))}
              bare={preview !== null}
              active={active}
              onActive={setActive}
              onPick={(n) => document.getElementById(card(n))?.scrollIntoView({ block: "center", behavior: "smooth" })}
            />
          )}
        </div>
      </div>
      <div className="mt-2 min-w-0 md:mt-0">
        {(photo.state === "waiting" || photo.state === "working") && (
          <p className="flex items-center gap-3 text-soft">
            <span className="h-3 w-3 animate-pulse rounded-full bg-accent" aria-hidden="true" />
            {photo.retryInS ? t.retrying(photo.retryInS) : photo.state === "waiting" ? t.waiting : t.working}
          </p>
        )}
        {photo.state === "failed" && !offline(photo.error) && (
          <Note kind="wrong">
            <p>{problem(photo.error, t)}</p>
            <Button className="mt-3" onClick={onAgain}>
              {t.again}
            </Button>
          </Note>
        )}
        {answer?.image.cut_off && (
          <div className="mb-3">
            <Note kind="doubt">{t.cutOff}</Note>
          </div>
        )}
        {answer && answer.faces.length === 0 && (
          <Note kind="plain">
            <p className="text-base font-semibold">{t.none}</p>
            <p className="mt-1">{t.noneHelp}</p>
          </Note>
        )}
        {answer && answer.faces.length > 0 && (
          <>
            <h3 className="text-lg font-semibold">{t.found(answer.faces.length)}</h3>
            <p className="text-sm text-soft">
              {t.percentHelp}
              {answer.image.rotated_deg !== 0 && ` ${t.turned(answer.image.rotated_deg)}`}
              {answer.unusable_faces > 0 && ` ${t.unusable(answer.unusable_faces)}`}
            </p>
            <ul className="mt-3 grid gap-3">
              {answer.faces.map((face, n) => (
                <FaceCard
                  key={n}
                  id={card(n)}
                  face={face}
                  labels={answer.release.labels}
                  number={n + 1}
                  band={bandOf(answer, model)}
                  crop={jpegUrl(face.crop_jpeg)}
                  active={active === n}
                  onActive={(on) => setActive(on ? n : null)}
                />
              ))}
            </ul>
          </>
        )}
        {doubtful.length > 0 && <p className="mt-3 text-sm text-doubt">{t.doubtful(doubtful.length)}</p>}
        {answer && (
          <p className="mt-3 text-xs text-soft">
            {t.answeredBy(answer.release.version, answer.release.variant, Math.round(answer.timings_ms["total"] ?? 0))}
          </p>
        )}
      </div>
    </article>
  );
}
