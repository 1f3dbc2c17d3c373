"use client";

import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { bandOf } from "@/lib/answers";
import { ApiError, faces as ask } from "@/lib/api";
import type { Device } from "@/lib/device";
import { grab, openVideo, pause, seek, seenIn } from "@/lib/frames";
import { useLanguage } from "@/lib/language";
import { save, tracksToCsv, tracksToJson, type NamedVideo } from "@/lib/save";
import type { Faces, Model } from "@/lib/schemas";
import { boxAt, people, Tracker, type Track } from "@/lib/tracks";
import { Boxes } from "./boxes";
import { FileButton } from "./file-button";
import { Button, Note } from "./parts";
import { clock, PersonCard } from "./person-card";

/** Frames looked at a second; of a long video fewer, so that it never takes more than MAX_FRAMES. */
const FRAMES_A_SECOND = 5;
const MAX_FRAMES = 1500;

type Clip = {
  name: string;
  width: number;
  height: number;
  durationS: number;
  stepS: number;
  frames: number;
  doneS: number;
  tracks: Track[];
  answer: Faces | null;
  finished: boolean;
};
type Props = { device: Device | null; model: Model | null };

/** A video file: its frames are looked at one by one, the same ones each time, however long it takes. */
export function VideoFile({ device, model }: Props) {
  const { t, language } = useLanguage();
  const player = useRef<HTMLVideoElement>(null);
  // The run that may write: what an older one still learns from its frame in flight is dropped.
  const run = useRef<AbortController | null>(null);
  const url = useRef("");
  const [clip, setClip] = useState<Clip | null>(null);
  const [timeS, setTimeS] = useState(0);
  const [problem, setProblem] = useState("");
  const [active, setActive] = useState(false);

  const stop = useCallback(() => {
    run.current?.abort();
    run.current = null;
    setActive(false);
  }, []);
  useEffect(
    () => () => {
      run.current?.abort();
      URL.revokeObjectURL(url.current);
    },
    [],
  );
  // The boxes follow the player, frame by frame.
  useEffect(() => {
    let next = 0;
    const follow = () => {
      if (player.current) setTimeS(player.current.currentTime);
      next = requestAnimationFrame(follow);
    };
    next = requestAnimationFrame(follow);
    return () => cancelAnimationFrame(next);
  }, []);

  async function open(files: Iterable<File>) {
    const [file] = files;
    if (!file) return;
    stop();
    const mine = new AbortController();
    const { signal } = mine;
    run.current = mine;
    setActive(true);
    setProblem("");
    setClip(null);
    URL.revokeObjectURL(url.current);
    url.current = URL.createObjectURL(file);
    if (player.current) player.current.src = url.current;
    try {
      const { video, durationS } = await openVideo(url.current);
      if (signal.aborted) return;
      const stepS = Math.max(1 / FRAMES_A_SECOND, durationS / MAX_FRAMES);
      const size = { name: file.name, width: video.videoWidth, height: video.videoHeight };
      let now: Clip = { ...size, durationS, stepS, frames: 0, doneS: 0, tracks: [], answer: null, finished: false };
      setClip(now);
      const tracker = new Tracker();
      for (let at = 0; at < durationS; at += stepS) {
        await seek(video, at);
        const answer = await look(video, at, tracker, signal);
        if (signal.aborted) return;
        now = { ...now, answer: answer ?? now.answer, frames: now.frames + 1, doneS: at, tracks: [...tracker.tracks] };
        setClip(now);
      }
      setClip({ ...now, doneS: durationS, finished: true });
    } catch {
      if (signal.aborted) return;
      setProblem(t.videoFailed);
    }
    setActive(false);
  }

  /** Asks about the frame until there is an answer. */
  async function look(video: HTMLVideoElement, at: number, tracker: Tracker, signal: AbortSignal): Promise<Faces | null> {
    const frame = await grab(video);
    while (frame && !signal.aborted) {
      try {
        const answer = device ? await device.analyse(frame.jpeg) : await ask(frame.jpeg, language, { signal });
        const seen = await seenIn(answer, frame.scale);
        if (signal.aborted) return null;
        tracker.add(at, seen);
        setProblem("");
        return answer;
      } catch (error) {
        if (signal.aborted) return null;
        setProblem(error instanceof ApiError && error.message ? error.message : t.offline);
        await pause((error instanceof ApiError ? (error.retryAfterS ?? 2) : 2) * 1000);
      }
    }
    return null;
  }

  const band = clip?.answer ? bandOf(clip.answer, model) : null;
  const labels = clip?.answer?.release.labels ?? [];
  const tracks = clip?.tracks;
  const found = useMemo(() => people(tracks ?? [], band), [tracks, band]);
  const boxes = clip
    ? found.flatMap((person) => {
        const box = boxAt(person, timeS, clip.stepS);
        return box ? [{ box, uncertain: person.uncertain, name: String(person.id) }] : [];
      })
    : [];
  const result: NamedVideo | null = clip?.answer ? { ...clip, release: clip.answer.release, people: found } : null;

  return (
    <section aria-label={t.sourceVideo} className="mt-4">
      <div className="flex flex-wrap items-center gap-2">
        <FileButton strong={!clip} compact text={t.chooseVideo} accept="video/*" onFiles={(files) => void open(files)} />
        {active && <Button compact onClick={stop}>{t.stop}</Button>}
        {clip && (
          <p role="status" className="min-w-0 flex-1 truncate text-sm text-soft">
            {clip.finished ? t.framesDone(clip.frames, clip.name) : `${t.frames(clip.frames)} · ${clock(clip.doneS)} / ${clock(clip.durationS)}`}
          </p>
        )}
        {result && (
          <div className="flex gap-1.5 sm:gap-2">
            <Button compact aria-label={t.json} onClick={() => save("people.json", "application/json", tracksToJson(result))}>
              JSON
            </Button>
            <Button compact aria-label={t.csv} onClick={() => save("people.csv", "text/csv", tracksToCsv(result))}>
              CSV
            </Button>
          </div>
        )}
      </div>
      {clip && !clip.finished && (
        <progress className="mt-3 h-1.5 w-full accent-accent" value={clip.doneS} max={clip.durationS} aria-label={t.frames(clip.frames)} />
      )}
      {!clip && <p className="mt-3 text-sm text-soft">{device ? t.liveNoteDevice : t.liveNote}</p>}
      {problem && (
        <div role="status" className="mt-4">
          <Note kind="wrong">{problem}</Note>
        </div>
      )}
      <div className={`mt-4 gap-6 md:grid md:grid-cols-[1.1fr_1fr] ${clip ? "" : "hidden md:hidden"}`}>
        <div className="sticky top-0 z-10 -mx-4 bg-paper px-4 py-2 sm:mx-0 sm:px-0 md:top-4 md:self-start md:py-0">
          <div className="relative overflow-hidden rounded-2xl bg-line">
            <video ref={player} muted playsInline controls className="block max-h-[38dvh] w-full md:max-h-[80dvh]" aria-label={t.sourceVideo} />
            {clip && (
              <Boxes faces={boxes} names={boxes.map((b) => b.name)} width={clip.width} height={clip.height} />
            )}
          </div>
        </div>
        <div className="mt-2 min-w-0 md:mt-0">
          {clip && (
            <>
              <h2 className="text-lg font-semibold">{t.peopleFound(found.length)}</h2>
              <p className="text-sm text-soft">{found.length > 0 ? t.pooled : clip.finished ? t.noneHelp : t.working}</p>
            </>
          )}
          <ul className="mt-3 grid gap-3">
            {clip &&
              found.map((person) => (
                <PersonCard
                  key={person.id}
                  person={person}
                  labels={labels}
                  band={band}
                  durationS={clip.durationS}
                  stepS={clip.stepS}
                  timeS={timeS}
                  onSeek={(at) => {
                    if (player.current) player.current.currentTime = at;
                  }}
                />
              ))}
          </ul>
        </div>
      </div>
    </section>
  );
}
