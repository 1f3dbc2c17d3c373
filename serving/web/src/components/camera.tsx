"use client";

import { useCallback, useEffect, useRef, useState } from "react";
import { bandOf } from "@/lib/answers";
import { ApiError, faces as ask } from "@/lib/api";
import type { Device } from "@/lib/device";
import { grab, pause, seenIn } from "@/lib/frames";
import { useLanguage } from "@/lib/language";
import type { Faces, Model } from "@/lib/schemas";
import { people, Tracker, type Person } from "@/lib/tracks";
import { Boxes } from "./boxes";
import { Button, Note } from "./parts";
import { PersonCard } from "./person-card";

/** Answers of the last seconds are pooled: long enough to be calm, short enough to follow. */
const MEMORY_S = 5;

type Live = { answer: Faces; people: Person[]; width: number; height: number; nowS: number };
type Props = { device: Device | null; model: Model | null };

/** The camera: one frame in flight, the next when its answer is there. */
export function Camera({ device, model }: Props) {
  const { t, language } = useLanguage();
  const video = useRef<HTMLVideoElement>(null);
  // The run that may write: what an older one still learns from its frame in flight is dropped.
  const run = useRef<AbortController | null>(null);
  const [live, setLive] = useState<Live | null>(null);
  const [frames, setFrames] = useState(0);
  const [problem, setProblem] = useState("");
  const [active, setActive] = useState(false);

  const stop = useCallback(() => {
    run.current?.abort();
    run.current = null;
    setActive(false);
    setLive(null); // its boxes belong to a frame that is no longer shown
    const element = video.current;
    if (!element) return;
    element.pause();
    if (element.srcObject instanceof MediaStream) element.srcObject.getTracks().forEach((t) => t.stop());
    element.srcObject = null;
  }, []);
  useEffect(() => stop, [stop]);

  async function loop(element: HTMLVideoElement, signal: AbortSignal) {
    const tracker = new Tracker(MEMORY_S);
    const began = performance.now();
    while (!signal.aborted) {
      try {
        const nowS = (performance.now() - began) / 1000;
        const frame = await grab(element);
        if (!frame) {
          await pause(50);
          continue;
        }
        const answer = device ? await device.analyse(frame.jpeg) : await ask(frame.jpeg, language, { signal });
        const seen = await seenIn(answer, frame.scale);
        if (signal.aborted) return;
        tracker.add(nowS, seen);
        const recent = tracker.tracks.filter((track) => track.sightings.at(-1)!.timeS === nowS);
        const shown = people(recent, bandOf(answer, model), 1).map((p, n) => ({ ...p, id: recent[n]!.id }));
        setLive({ answer, people: shown, width: element.videoWidth, height: element.videoHeight, nowS });
        setFrames((n) => n + 1);
        setProblem("");
      } catch (error) {
        if (signal.aborted) return;
        setProblem(error instanceof ApiError && error.message ? error.message : t.offline);
        await pause((error instanceof ApiError ? (error.retryAfterS ?? 2) : 2) * 1000);
      }
    }
  }

  async function start() {
    stop();
    setFrames(0);
    setProblem("");
    const mine = new AbortController();
    run.current = mine;
    setActive(true);
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user" } });
      const element = video.current;
      if (mine.signal.aborted || !element) return stream.getTracks().forEach((t) => t.stop());
      element.srcObject = stream;
      await element.play();
      void loop(element, mine.signal);
    } catch {
      if (mine.signal.aborted) return;
      setProblem(t.cameraFailed);
      setActive(false);
    }
  }

  return (
    <section aria-label={t.sourceCamera} className="mt-4">
      <div className="flex flex-wrap items-center gap-3">
        <Button strong disabled={active} onClick={() => void start()}>
          {t.startCamera}
        </Button>
        <Button disabled={!active} onClick={stop}>
          {t.stop}
        </Button>
        {frames > 0 && <p className="text-sm text-soft">{t.frames(frames)}</p>}
      </div>
      <p className="mt-3 text-sm text-soft">{device ? t.liveNoteDevice : t.liveNote}</p>
      {problem && (
        <div role="status" className="mt-4">
          <Note kind="wrong">{problem}</Note>
        </div>
      )}
      <div className="mt-4 gap-6 md:grid md:grid-cols-[1.1fr_1fr]">
        <div className="relative self-start overflow-hidden rounded-2xl bg-line">
          <video ref={video} muted playsInline className="block w-full" aria-label={t.sourceCamera} />
          {live && (
            <Boxes
              faces={live.people.map((p) => ({ box: p.sightings.at(-1)!.face.box, uncertain: p.uncertain }))}
              names={live.people.map((p) => String(p.id))}
              width={live.width}
              height={live.height}
            />
          )}
        </div>
        <div className="mt-3 md:mt-0">
          {live?.people.length === 0 && <Note kind="plain">{t.none}</Note>}
          <ul className="grid gap-3">
            {live?.people.map((person) => (
              <PersonCard
                key={person.id}
                person={person}
                labels={live.answer.release.labels}
                band={bandOf(live.answer, model)}
                durationS={null}
                stepS={1}
                timeS={live.nowS}
              />
            ))}
          </ul>
        </div>
      </div>
    </section>
  );
}
